/** Reads one entry of a table's JSON as an entry of the layer. */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { type Entry, type EntryType, type Xattrs, noContent, noXattrs } from '../entry.ts'
import { cleanPath, maxPathBytes, quoteName } from '../path.ts'
import { checkXattr } from '../tar/pax.ts'
import { type RawEntry, badEntry, sizeIn, textOf } from './toc-json.ts'
import { parseTime } from './go-time.ts'

/** Types of entries by the names that every table has for them. */
export const tocTypes: ReadonlyMap<unknown, EntryType> = new Map([
  ['reg', 'file'],
  ['dir', 'directory'],
  ['symlink', 'symlink'],
  ['hardlink', 'hardlink'],
  ['char', 'char'],
  ['block', 'block'],
  ['fifo', 'fifo'],
])

/** Limits as in the tar reader: uid_t with −1 left out, and dev_t's 12 and 20 bits. */
export const maxId = 0xfffffffe
export const maxMajor = 0xfff
export const maxMinor = 0xfffff

export function readTocEntry(raw: RawEntry): Entry {
  const type = tocTypes.get(raw['type'])
  if (type === undefined) throw badEntry(raw, 'its type is unknown')
  const path = cleanPath(nameOf(raw, 'name'))
  if (path === '' && type !== 'directory') throw badEntry(raw, 'it has no name')
  const time = timeOf(raw)
  const size = type === 'file' ? sizeIn(raw, 'size') : 0
  const device = type === 'char' || type === 'block'
  return {
    path,
    type,
    mode: sizeIn(raw, 'mode') % 0o10000,
    uid: boundedIn(raw, 'uid', maxId),
    gid: boundedIn(raw, 'gid', maxId),
    mtime: time.seconds,
    mtimeNsec: time.nanoseconds,
    major: device ? boundedIn(raw, 'devMajor', maxMajor) : 0,
    minor: device ? boundedIn(raw, 'devMinor', maxMinor) : 0,
    link: type === 'symlink' || type === 'hardlink' ? linkOf(raw, type) : '',
    xattrs: xattrsOf(raw),
    content: size === 0 ? noContent : { kind: 'unknown', size },
  }
}

/** Returns the sha256 of content; undefined when the entry has none. */
export function digestIn(raw: RawEntry, key: string): Digest | undefined {
  const text = textOf(raw, key)
  if (text === '') return undefined
  if (!isDigest(text) || !text.startsWith('sha256:')) throw badEntry(raw, `its ${key} is no sha256 digest`)
  return text
}

function boundedIn(raw: RawEntry, key: string, limit: number): number {
  const value = sizeIn(raw, key)
  if (value > limit) throw badEntry(raw, `its ${key} is ${value}, at most ${limit} is possible`)
  return value
}

/**
 * Returns a name as bytes. JSON writers replace bytes that are no UTF-8 by U+FFFD, and then the name is lost: pulled
 * whole, the layer still has it.
 */
function nameOf(raw: RawEntry, key: string): string {
  return bytesOf(textOf(raw, key), () => badName(raw, key))
}

const notAscii = /[\u0080-\uffff]/

function bytesOf(text: string, errorFor: () => OnefoldError): string {
  if (!notAscii.test(text)) return text
  if (text.includes('\ufffd') || !text.isWellFormed()) throw errorFor()
  return pathFromUtf8(text)
}

function badName(raw: RawEntry, key: string): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot read a table of contents: the ${key} ${quoteName(pathFromUtf8(textOf(raw, key)))} has lost bytes`,
    { hint: 'Pull the layer whole.' },
  )
}

function linkOf(raw: RawEntry, type: EntryType): string {
  const target = nameOf(raw, 'linkName')
  if (target === '') throw badEntry(raw, `a ${type} has no target`)
  if (type === 'hardlink') return cleanPath(target)
  if (target.length >= maxPathBytes || target.includes('\0')) throw badEntry(raw, 'its target cannot be one')
  return target
}

function timeOf(raw: RawEntry): { seconds: number; nanoseconds: number } {
  const time = parseTime(textOf(raw, 'modtime'))
  if (time === undefined) throw badEntry(raw, 'its modtime is no time')
  return time
}

const base64 = /^[A-Za-z0-9+/]*={0,2}$/
/** Length of XATTR_SIZE_MAX bytes in base64. */
const maxBase64 = 4 * Math.ceil(65_536 / 3)

/**
 * Reads extended attributes. An empty value takes the key away in the tar (pax); only Go's reader keeps it for the
 * table.
 */
function xattrsOf(raw: RawEntry): Xattrs {
  const members = raw['xattrs'] ?? undefined
  if (members === undefined) return noXattrs
  if (typeof members !== 'object' || Array.isArray(members)) throw badEntry(raw, 'its xattrs are no object')
  const xattrs = new Map<string, Uint8Array>()
  for (const [key, value] of Object.entries(members as Record<string, unknown>)) {
    if (value === '' || value === null) continue
    if (typeof value !== 'string' || value.length > maxBase64 || value.length % 4 !== 0 || !base64.test(value))
      throw badEntry(raw, 'the value of an xattr is not base64, or too long')
    const name = bytesOf(key, () => badName(raw, 'xattrs'))
    const bytes = new Uint8Array(Buffer.from(value, 'base64'))
    checkXattr(name, bytes)
    xattrs.set(name, bytes)
  }
  return xattrs.size === 0 ? noXattrs : xattrs
}
