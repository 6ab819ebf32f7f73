/**
 * One tar header, 512 bytes. Numbers are octal text; names end at a NUL or fill their field.
 *
 *     at  0   name        100      257  magic        6   "ustar\0" POSIX, "ustar " GNU, anything else: v7
 *       100   mode          8      263  version      2   "00" POSIX, " \0" GNU
 *       108   uid           8      265  uname       32
 *       116   gid           8      297  gname       32
 *       124   size         12      329  devmajor     8
 *       136   mtime        12      337  devminor     8
 *       148   chksum        8      345  prefix     155   POSIX: goes before name, with a slash between
 *       156   typeflag      1      500  (padding)   12
 *       157   linkname    100
 *
 * GNU uses what is `prefix` in POSIX otherwise:
 *
 *       345   atime 12      357   ctime 12
 *       386   4 × (offset 12, length 12)      482   1 when extension blocks follow      483   real size 12
 *
 * star puts "tar\0" at 508 and shortens prefix to 131 bytes. Field by field: POSIX.1-2018, pax, "ustar Interchange
 * Format"; GNU tar manual, "Basic Tar Format".
 */
import { isAscii } from 'node:buffer'
import { pathToBytes } from '../../paths.ts'

export const blockBytes = 512

/** Offset and length of each field. */
export const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  chksum: [148, 8],
  typeflag: [156, 1],
  linkname: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  uname: [265, 32],
  gname: [297, 32],
  devmajor: [329, 8],
  devminor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [offset: number, length: number]>

const gnuTimes = { atime: [345, 12], ctime: [357, 12] } as const
const starPrefixBytes = 131
const starTrailerAt = 508

export type Dialect = 'v7' | 'ustar' | 'star' | 'gnu'

/** One block in a larger buffer. */
export interface Block {
  readonly bytes: Buffer
  readonly at: number
  readonly view: DataView
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Returns the number of bytes that fill up the last block of a body. */
export function paddingOf(size: number): number {
  const used = size % blockBytes
  return used === 0 ? 0 : blockBytes - used
}

export function isZeroBlock({ bytes, at }: Block): boolean {
  for (let i = at, end = at + blockBytes; i < end; i++) if (bytes[i] !== 0) return false
  return true
}

/**
 * Tells whether the checksum is right: the sum of the header's bytes, its own field taken as spaces. It is unsigned as
 * POSIX says; some old writers added chars as their compiler saw them, so the signed sum is right as well.
 */
export function isChecksumRight(block: Block): boolean {
  const wanted = readNumber(block, ...fields.chksum)
  const unsigned = sumHeader(block)
  return wanted === unsigned || wanted === unsigned - 256 * countHigh(block)
}

/**
 * Sums the header four bytes at a time, in two pairs of 16-bit sums that 128 words cannot overflow: three times as fast
 * as one by one.
 */
export function sumHeader({ bytes, at, view }: Block): number {
  let even = 0
  let odd = 0
  for (let i = at, end = at + blockBytes; i < end; i += 4) {
    const word = view.getInt32(i, true)
    even += word & 0xff00ff
    odd += (word >>> 8) & 0xff00ff
  }
  let sum = (even & 0xffff) + (even >>> 16) + (odd & 0xffff) + (odd >>> 16)
  const own = at + fields.chksum[0]
  for (let i = own; i < own + fields.chksum[1]; i++) sum += 0x20 - bytes[i]!
  return sum
}

/** Counts the bytes that a signed char takes for 256 less. */
function countHigh({ bytes, at }: Block): number {
  const own = at + fields.chksum[0]
  let count = 0
  for (let i = at, end = at + blockBytes; i < end; i++) {
    if (bytes[i]! >= 0x80 && (i < own || i >= own + fields.chksum[1])) count++
  }
  return count
}

export function dialectOf({ bytes, at }: Block): Dialect {
  const magic = at + fields.magic[0]
  if (!hasText(bytes, magic, 'ustar')) return 'v7'
  if (bytes[magic + 5] === 0) return hasText(bytes, at + starTrailerAt, 'tar\0') ? 'star' : 'ustar'
  return hasText(bytes, magic + 5, '  \0') ? 'gnu' : 'v7'
}

function hasText(bytes: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false
  return true
}

/** Returns the bytes of a text field up to its first NUL, one char per byte. */
export function readText({ bytes, at }: Block, offset: number, length: number): string {
  const start = at + offset
  const limit = start + length
  let end = start
  while (end < limit && bytes[end] !== 0) end++
  return end === start ? '' : bytes.toString('latin1', start, end)
}

export function readName(block: Block, dialect: Dialect): string {
  const name = readText(block, ...fields.name)
  const prefix = readPrefix(block, dialect)
  return prefix === '' ? name : `${prefix}/${name}`
}

/**
 * Reads the prefix. GNU has times in this place. Go before 1.8 put a prefix there all the same: where there is ASCII
 * that is no time, it is one, as today's Go reads it.
 */
function readPrefix(block: Block, dialect: Dialect): string {
  if (dialect === 'v7') return ''
  const prefix = readText(block, fields.prefix[0], dialect === 'star' ? starPrefixBytes : fields.prefix[1])
  if (dialect !== 'gnu') return prefix
  const mangled =
    Number.isNaN(readNumber(block, ...gnuTimes.atime)) || Number.isNaN(readNumber(block, ...gnuTimes.ctime))
  return mangled && isAscii(pathToBytes(prefix)) ? prefix : ''
}

/**
 * Reads a number: octal digits between spaces and NULs, nothing at all (0), or GNU's base-256, where the top bit is set
 * and the rest is a big-endian two's complement. NaN when it is none of these, ±Infinity beyond ±(2^53 − 1).
 */
export function readNumber({ bytes, at }: Block, offset: number, length: number): number {
  let i = at + offset
  const end = i + length
  if ((bytes[i]! & 0x80) !== 0) return readBase256(bytes, i, end)
  while (i < end && (bytes[i] === 0x20 || bytes[i] === 0)) i++
  let value = 0
  for (; i < end; i++) {
    const digit = bytes[i]! - 0x30
    if (digit < 0 || digit > 7) return bytes[i] === 0x20 || bytes[i] === 0 ? value : Number.NaN
    value = value * 8 + digit
  }
  return value
}

function readBase256(bytes: Uint8Array, start: number, end: number): number {
  const first = bytes[start]! & 0x7f
  let value = (first & 0x40) !== 0 ? first - 0x80 : first
  for (let i = start + 1; i < end; i++) value = value * 256 + bytes[i]!
  if (value > Number.MAX_SAFE_INTEGER) return Number.POSITIVE_INFINITY
  return value < -Number.MAX_SAFE_INTEGER ? Number.NEGATIVE_INFINITY : value
}
