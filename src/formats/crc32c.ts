/**
 * CRC-32C (Castagnoli; RFC 3720, appendix B.4): polynomial 0x1EDC6F41, reflected, as OverlayBD and EROFS have it.
 * Eight tables take eight bytes at a time.
 */
const polynomial = 0x82f63b78
const tables = makeTables()

/** @param crc the checksum of the bytes before, to go on from there */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  let value = ~crc
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    const low = value ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    value =
      tables[7]![low & 0xff]! ^
      tables[6]![(low >>> 8) & 0xff]! ^
      tables[5]![(low >>> 16) & 0xff]! ^
      tables[4]![low >>> 24]! ^
      tables[3]![bytes[at + 4]!]! ^
      tables[2]![bytes[at + 5]!]! ^
      tables[1]![bytes[at + 6]!]! ^
      tables[0]![bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) value = (value >>> 8) ^ tables[0]![(value ^ bytes[at]!) & 0xff]!
  return ~value >>> 0
}

function makeTables(): Int32Array[] {
  const first = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1
    return value
  })
  const made = [first]
  for (let table = 1; table < 8; table++) {
    const before = made[table - 1]!
    made.push(before.map((value) => (value >>> 8) ^ first[value & 0xff]!))
  }
  return made
}
