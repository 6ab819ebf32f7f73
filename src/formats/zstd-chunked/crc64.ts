/**
 * CRC-64 with the polynomial of ISO 3309, x^64 + x^4 + x^3 + x + 1, as Go's hash/crc64 has it; tar-split keeps one for
 * every file. All terms but the first are low, so one byte changes the upper twelve bits of the sum only, and four
 * bytes can be taken at a time: those before cannot reach the ones that come after.
 */

/** Effect on the sum of the byte at place 0 … 3 of a word, 256 entries for each place. */
const high = new Int32Array(4 * 256)
const low = new Int32Array(4 * 256)

for (let byte = 0; byte < 256; byte++) {
  let sum = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) sum = (sum & 1n) === 1n ? (sum >> 1n) ^ 0xd800000000000000n : sum >> 1n
  for (let place = 0; place < 4; place++) {
    const shifted = sum >> BigInt(8 * (3 - place))
    high[place * 256 + byte] = Number(BigInt.asIntN(32, shifted >> 32n))
    low[place * 256 + byte] = Number(BigInt.asIntN(32, shifted))
  }
}

export class Crc64 {
  #high = -1
  #low = -1

  update(bytes: Uint8Array): void {
    let [h, l] = [this.#high, this.#low]
    const words = bytes.length - (bytes.length % 4)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let i = 0; i < words; i += 4) {
      const x = l ^ view.getInt32(i, true)
      const [a, b, c, d] = [x & 0xff, 256 | ((x >>> 8) & 0xff), 512 | ((x >>> 16) & 0xff), 768 | (x >>> 24)]
      l = h ^ low[a]! ^ low[b]! ^ low[c]! ^ low[d]!
      h = high[a]! ^ high[b]! ^ high[c]! ^ high[d]!
    }
    for (let i = words; i < bytes.length; i++) {
      const byte = 768 | ((l ^ bytes[i]!) & 0xff)
      l = ((l >>> 8) | (h << 24)) ^ low[byte]!
      h = (h >>> 8) ^ high[byte]!
    }
    this.#high = h
    this.#low = l
  }

  /** Returns eight bytes, the highest first. */
  digest(): Buffer {
    const sum = Buffer.alloc(8)
    sum.writeInt32BE(~this.#high, 0)
    sum.writeInt32BE(~this.#low, 4)
    return sum
  }
}
