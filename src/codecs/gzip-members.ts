/**
 * Gzip files are members one after the other, each complete in itself (RFC 1952, section 2.3):
 *
 *     1f 8b 08  flags  mtime u32  xfl  os        10 bytes, all little-endian
 *     extra     u16 length, then subfields: two letters, u16 length, data      if flag 4
 *     name      up to a NUL                                                    if flag 8
 *     comment   up to a NUL                                                    if flag 16
 *     crc16     low half of the crc32 of the header so far                     if flag 2
 *     deflate…  nothing but inflating it tells where it ends
 *     crc32     u32 of the inflated bytes        isize  u32, their number modulo 2^32
 *
 * After the last member zero bytes may follow (tapes and blocks are filled up so; gzip lets them pass) and nothing
 * else.
 */
import { crc32, inflateRawSync } from 'node:zlib'
import { OnefoldError } from '../error.ts'

export interface GzipHeader {
  /** Size of the header itself, in bytes. */
  readonly length: number
  readonly mtime: number
  readonly os: number
  /** Subfields of FEXTRA: eStargz keeps the place of its TOC in one. */
  readonly extra: readonly GzipSubfield[]
  readonly name: string | undefined
  readonly comment: string | undefined
}

export interface GzipSubfield {
  /** Identifier of two letters. */
  readonly id: string
  readonly data: Uint8Array
}

export interface GzipMember {
  readonly header: GzipHeader
  /** Offset of the member in the file, in bytes. */
  readonly offset: number
  /** Number of its bytes, with header and trailer. */
  readonly length: number
  readonly data: Uint8Array
}

const FHCRC = 2
const FEXTRA = 4
const FNAME = 8
const FCOMMENT = 16
const reservedFlags = 0xe0
const fixedBytes = 10
const trailerBytes = 8

/** Reads the header of the member at `at`. */
export function readGzipHeader(bytes: Uint8Array, at = 0): GzipHeader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (at + fixedBytes > buffer.length) throw badGzip('it is cut short in a header')
  if (buffer.readUInt16BE(at) !== 0x1f8b) throw badGzip(`no member begins at byte ${at}`)
  if (buffer[at + 2] !== 8) throw badGzip(`compression method ${buffer[at + 2]}, expected 8 (deflate)`)
  const flags = buffer[at + 3]!
  if ((flags & reservedFlags) !== 0) throw badGzip(`reserved flags are set: ${flags}`)
  const scan = new Scan(buffer, at + fixedBytes)
  const extra = (flags & FEXTRA) === 0 ? [] : parseSubfields(scan.take(scan.u16()))
  const name = (flags & FNAME) === 0 ? undefined : scan.text()
  const comment = (flags & FCOMMENT) === 0 ? undefined : scan.text()
  if ((flags & FHCRC) !== 0) {
    const wanted = crc32(buffer.subarray(at, scan.at)) & 0xffff
    if (scan.u16() !== wanted) throw badGzip('the checksum of a header is wrong')
  }
  return { length: scan.at - at, mtime: buffer.readUInt32LE(at + 4), os: buffer[at + 9]!, extra, name, comment }
}

/**
 * Reads the members of a whole file, inflated one at a time and checked against their trailers.
 * @param maxBytes limit for all members inflated; beyond it the file is refused with LIMIT
 */
export function* readGzipMembers(bytes: Uint8Array, maxBytes: number): Generator<GzipMember> {
  let at = 0
  let left = maxBytes
  do {
    const member = readMember(bytes, at, left)
    yield member
    at += member.length
    left -= member.data.length
  } while (at < bytes.length && bytes[at] !== 0)
  for (; at < bytes.length; at++)
    if (bytes[at] !== 0) throw badGzip('bytes follow the zero padding after its last member')
}

function readMember(bytes: Uint8Array, offset: number, maxBytes: number): GzipMember {
  const header = readGzipHeader(bytes, offset)
  const { data, consumed } = inflate(bytes.subarray(offset + header.length), maxBytes)
  const trailer = offset + header.length + consumed
  if (trailer + trailerBytes > bytes.length) throw badGzip('it is cut short in a trailer')
  const view = new DataView(bytes.buffer, bytes.byteOffset + trailer, trailerBytes)
  if (view.getUint32(0, true) !== crc32(data)) throw badGzip('the checksum of a member is wrong')
  if (view.getUint32(4, true) !== data.length >>> 0) throw badGzip('the length of a member is wrong')
  return { header, offset, length: header.length + consumed + trailerBytes, data }
}

function inflate(deflated: Uint8Array, maxBytes: number): { data: Uint8Array; consumed: number } {
  try {
    // At least one byte: zlib takes no smaller limit, and one byte over is found below.
    const { buffer, engine } = inflateWithInfo(deflated, Math.max(1, maxBytes))
    if (buffer.length > maxBytes) throw tooLarge(maxBytes)
    return { data: buffer, consumed: engine.bytesWritten }
  } catch (cause) {
    if (cause instanceof OnefoldError) throw cause
    if (cause instanceof RangeError) throw tooLarge(maxBytes, cause)
    throw badGzip(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

interface InflateInfo {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

function inflateWithInfo(deflated: Uint8Array, maxOutputLength: number): InflateInfo {
  const result: unknown = inflateRawSync(deflated, { maxOutputLength, info: true })
  return result as InflateInfo
}

function parseSubfields(bytes: Buffer): GzipSubfield[] {
  const fields: GzipSubfield[] = []
  for (const scan = new Scan(bytes, 0); scan.at < bytes.length;) {
    const id = scan.take(2).toString('latin1')
    fields.push({ id, data: scan.take(scan.u16()) })
  }
  return fields
}

/** Cursor on the variable part of a header, which never goes past the end of it. */
class Scan {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  take(length: number): Buffer {
    if (this.at + length > this.#bytes.length) throw badGzip('it is cut short in a header')
    this.at += length
    return this.#bytes.subarray(this.at - length, this.at)
  }

  u16(): number {
    return this.take(2).readUInt16LE()
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.at)
    if (end === -1) throw badGzip('it is cut short in a header')
    return this.take(end + 1 - this.at)
      .toString('latin1')
      .slice(0, -1)
  }
}

function badGzip(found: string, cause?: unknown): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read gzip data: ${found}`, { cause })
}

function tooLarge(limit: number, cause?: unknown): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot read gzip data: it inflates to more than ${limit} bytes`, { cause })
}
