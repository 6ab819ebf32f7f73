/**
 * Reads the body of a pax extended header (typeflag x or g): records, each led by its own length in decimal, which
 * counts the whole record. Values may hold anything, newlines and NULs included.
 *
 *     "30 mtime=1700000000.123456789\n"   "length SP key = value LF"
 *
 * POSIX.1-2018, pax, "pax Extended Header". Everything here is an attacker's.
 */
import { OnefoldError } from '../../error.ts'
import { type Xattrs, noXattrs } from '../entry.ts'

/**
 * Values by their keys, both with one char per byte. The last record of a key wins; an empty value takes the key away.
 */
export type PaxRecords = ReadonlyMap<string, string>

export const noRecords: PaxRecords = new Map()

export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

const space = 0x20
const equals = 0x3d
const newline = 0x0a
/** Most digits of a length, enough for any that fits into memory. */
const maxLengthDigits = 10

const schilyXattr = 'SCHILY.xattr.'
const libarchiveXattr = 'LIBARCHIVE.xattr.'
/** Limits of Linux: XATTR_NAME_MAX and XATTR_SIZE_MAX. */
const maxXattrName = 255
const maxXattrValue = 65_536

/**
 * Parses records.
 * @param inherited records of global headers, which a record of the same key overrides
 */
export function parsePaxRecords(bytes: Buffer, inherited: PaxRecords = noRecords): PaxRecords {
  const records = new Map(inherited)
  const sparse = new SparsePairs()
  for (let at = 0; at < bytes.length;) {
    const end = at + readLength(bytes, at)
    const keyAt = bytes.indexOf(space, at) + 1
    const equalsAt = bytes.indexOf(equals, keyAt)
    if (end > bytes.length || bytes[end - 1] !== newline || equalsAt <= keyAt || equalsAt >= end - 1)
      throw badRecord(at)
    const key = bytes.toString('latin1', keyAt, equalsAt)
    const value = bytes.toString('latin1', equalsAt + 1, end - 1)
    if (key.includes('\0')) throw badRecord(at)
    if (!sparse.take(key, value)) set(records, key, value)
    at = end
  }
  sparse.finish(records)
  return records
}

function set(records: Map<string, string>, key: string, value: string): void {
  if (value === '') records.delete(key)
  else records.set(key, value)
}

function readLength(bytes: Buffer, at: number): number {
  let length = 0
  let digits = 0
  for (; digits <= maxLengthDigits; digits++) {
    const digit = bytes[at + digits]! - 0x30
    if (!(digit >= 0 && digit <= 9)) break
    length = length * 10 + digit
  }
  if (digits === 0 || digits > maxLengthDigits || bytes[at + digits] !== space) throw badRecord(at)
  return length
}

/**
 * Joins the pairs in which GNU sparse format 0.0 says its map: records with the same two keys again and again, which no
 * map of keys can hold. They become the one record that format 0.1 has.
 */
class SparsePairs {
  readonly #numbers: string[] = []

  take(key: string, value: string): boolean {
    if (key !== 'GNU.sparse.offset' && key !== 'GNU.sparse.numbytes') return false
    const wanted = this.#numbers.length % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes'
    if (key !== wanted || !/^\d+$/.test(value)) throw badAttribute(key, value)
    this.#numbers.push(value)
    return true
  }

  finish(records: Map<string, string>): void {
    if (this.#numbers.length > 0) records.set('GNU.sparse.map', this.#numbers.join(','))
  }
}

/** Returns a whole number, or undefined where there is no such record. */
export function paxNumber(records: PaxRecords, key: string): number | undefined {
  const text = records.get(key)
  if (text === undefined) return undefined
  if (!/^-?\d+$/.test(text)) throw badAttribute(key, text)
  return Number(text)
}

/** Returns a name or a link's target; a NUL in it would mean one path to us and another to the kernel. */
export function paxName(records: PaxRecords, key: string): string | undefined {
  const text = records.get(key)
  if (text?.includes('\0') === true) throw badAttribute(key, text)
  return text
}

/** Returns a time from seconds with a fraction; digits beyond nanoseconds are cut off, and −1.5 is 0.5 s after −2. */
export function paxTime(records: PaxRecords, key: string): Time | undefined {
  const text = records.get(key)
  if (text === undefined) return undefined
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text)
  if (match === null) throw badAttribute(key, text)
  const [, sign, whole, fraction = ''] = match
  const seconds = Number(whole)
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign === '') return { seconds, nanoseconds }
  if (nanoseconds === 0) return { seconds: seconds === 0 ? 0 : -seconds, nanoseconds }
  return { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds }
}

/**
 * Returns extended attributes: star's records hold the value as it is; libarchive writes a percent-encoded name and
 * base64, usually beside star's, which then is the one to believe.
 */
export function paxXattrs(records: PaxRecords): Xattrs {
  if (records.size === 0) return noXattrs
  let xattrs: Map<string, Uint8Array> | undefined
  for (const [key, value] of records) {
    const star = key.startsWith(schilyXattr)
    if (!star && !key.startsWith(libarchiveXattr)) continue
    const name = star ? key.slice(schilyXattr.length) : decodePercent(key.slice(libarchiveXattr.length))
    xattrs ??= new Map()
    if (!star && records.has(schilyXattr + name)) continue
    const bytes = new Uint8Array(star ? Buffer.from(value, 'latin1') : decodeBase64(key, value))
    checkXattr(name, bytes)
    xattrs.set(name, bytes)
  }
  return xattrs ?? noXattrs
}

/** Throws BAD_FORMAT or LIMIT for what Linux does not take as an extended attribute. */
export function checkXattr(name: string, value: Uint8Array): void {
  if (name === '' || name.length > maxXattrName || name.includes('\0')) throw badAttribute('xattr', name)
  if (value.length > maxXattrValue)
    throw new OnefoldError(
      'LIMIT',
      `Cannot read xattr ${JSON.stringify(name)}: it has ${value.length} bytes, Linux takes at most ${maxXattrValue}`,
    )
}

function decodePercent(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

function decodeBase64(key: string, text: string): Buffer {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw badAttribute(key, text)
  return Buffer.from(text, 'base64')
}

export function badAttribute(key: string, value: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot read pax record ${JSON.stringify(key.slice(0, 100))}: its value is ${JSON.stringify(value.slice(0, 100))}`,
  )
}

function badRecord(at: number): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot read pax record at byte ${at} of its header: expected "length key=value" and a newline where the length says`,
  )
}
