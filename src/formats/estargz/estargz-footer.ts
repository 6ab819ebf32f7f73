/**
 * The end of an eStargz blob: a gzip member of nothing, whose extra field says where the table begins.
 *
 *     1f 8b 08 04  00 00 00 00  00 ff      flags: extra field; no time, unknown system
 *     length u16, extra field
 *     01 00 00 ff ff                       an empty stored block
 *     00 × 8                               crc32 and length of nothing
 *
 *     extra field      51 bytes in all     "SG" 22 u16, 16 lower-case hex digits, "STARGZ"
 *                      47 (stargz)                      16 lower-case hex digits, "STARGZ"
 *                      46 (external)       "SG" 17 u16, "STARGZEXTERNALTOC"
 */

export interface EstargzFooter {
  /** First byte of the member that holds the table; undefined when the table is in another blob. */
  readonly tocOffset: number | undefined
  /** Bytes of the footer. */
  readonly length: number
}

/** Number of bytes at a blob's end that hold any of the footers. */
export const maxFooterBytes = 51

const header = Buffer.from('1f8b08040000000000ff', 'hex')
const trailer = Buffer.from('010000ffff0000000000000000', 'hex')
const externalExtra = Buffer.from('SG\x11\0STARGZEXTERNALTOC', 'latin1')
const subfield = 'SG\x16\0'
const embedded = /^([0-9a-f]{16})STARGZ$/

/** Reads the footer in the last bytes of a blob; undefined when they are none. */
export function parseEstargzFooter(tail: Uint8Array): EstargzFooter | undefined {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.length)
  for (const extraBytes of [26, 22, externalExtra.length]) {
    const length = header.length + 2 + extraBytes + trailer.length
    const extra = extraIn(bytes.subarray(Math.max(0, bytes.length - length)), extraBytes)
    if (extra === undefined) continue
    if (extra.equals(externalExtra)) return { tocOffset: undefined, length }
    const text = extra.toString('latin1')
    const digits = embedded.exec(text.startsWith(subfield) ? text.slice(subfield.length) : text)?.[1]
    const tocOffset = digits === undefined ? Number.NaN : Number.parseInt(digits, 16)
    if (Number.isSafeInteger(tocOffset)) return { tocOffset, length }
  }
  return undefined
}

/** @param tocOffset undefined: the table is in another blob */
export function writeEstargzFooter(tocOffset: number | undefined): Buffer {
  const extra =
    tocOffset === undefined
      ? externalExtra
      : Buffer.from(`${subfield}${tocOffset.toString(16).padStart(16, '0')}STARGZ`, 'latin1')
  return Buffer.concat([header, Buffer.from([extra.length, 0]), extra, trailer])
}

function extraIn(footer: Buffer, extraBytes: number): Buffer | undefined {
  const at = header.length + 2
  if (footer.length !== at + extraBytes + trailer.length) return undefined
  if (!footer.subarray(at + extraBytes).equals(trailer)) return undefined
  // The time and system of the member mean nothing, and other writers may fill them in.
  const isMember =
    footer.readUInt32BE(0) === header.readUInt32BE(0) && footer.readUInt16LE(header.length) === extraBytes
  return isMember ? footer.subarray(at, at + extraBytes) : undefined
}
