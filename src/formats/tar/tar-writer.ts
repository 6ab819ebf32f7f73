/**
 * Writes tar headers, always the same bytes for the same entry: ustar where it can hold the entry, and a pax header in
 * front where it cannot. Layout in tar-header.ts, records in pax.ts.
 */
import { isUtf8 } from 'node:buffer'
import { OnefoldError } from '../../error.ts'
import { pathToBytes } from '../../paths.ts'
import type { Entry, EntryType } from '../entry.ts'
import { quoteName } from '../path.ts'
import { fileTypeRecord } from './tar-entry.ts'
import { blockBytes, fields, paddingOf, sumHeader, viewOf } from './tar-header.ts'

const typeflags: Readonly<Record<EntryType, string | undefined>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  socket: undefined,
}

/** Largest id and size: a field of n bytes ends with a NUL, which leaves n − 1 octal digits. */
const maxId = 0o7777777
const maxSize = 0o77777777777
/** Name of every pax header of every entry: it says nothing, and so nothing can differ. */
const paxName = '././@PaxHeader'

/** Returns the zeros to write after a body of `size` bytes. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array(paddingOf(size))
}

/** Returns the two zero blocks that end an archive. */
export function tarTrailer(): Uint8Array {
  return new Uint8Array(2 * blockBytes)
}

export interface TarWriteOptions {
  /**
   * Treatment of a socket, which has no typeflag: `refuse` it (UNSUPPORTED), or write a FIFO with the record by which
   * star's readers know it, and ours where they are told to.
   */
  readonly sockets?: 'refuse' | 'fileType'
}

/** Returns the header, with a pax header where one is needed, of an entry whose body of `size` bytes follows. */
export function writeTarHeader(entry: Entry, size: number, { sockets = 'refuse' }: TarWriteOptions = {}): Uint8Array {
  const isSocket = entry.type === 'socket' && sockets === 'fileType'
  const typeflag = typeflags[isSocket ? 'fifo' : entry.type]
  if (typeflag === undefined)
    throw new OnefoldError('UNSUPPORTED', `Cannot put ${quoteName(entry.path)} into a tar: it is a ${entry.type}`)
  const name = nameOf(entry)
  const place = splitName(name)
  const records = paxRecords(entry, name, place !== undefined, size)
  if (isSocket) records.push(paxRecord(fileTypeRecord, 'socket'))
  const header = writeBlock({
    ...(place ?? { prefix: '', name: name.slice(0, fields.name[1]) }),
    mode: entry.mode,
    uid: entry.uid > maxId ? 0 : entry.uid,
    gid: entry.gid > maxId ? 0 : entry.gid,
    size: size > maxSize ? 0 : size,
    mtime: Math.min(Math.max(entry.mtime, 0), maxSize),
    typeflag,
    linkname: entry.link.slice(0, fields.linkname[1]),
    devmajor: entry.major,
    devminor: entry.minor,
  })
  return records.length === 0 ? header : Buffer.concat([paxHeader(records), header])
}

function nameOf({ path, type }: Entry): string {
  if (path === '') return './'
  return type === 'directory' ? `${path}/` : path
}

/** Returns the name alone, or cut at the first slash that lets both parts fit; undefined when none does. */
function splitName(name: string): { prefix: string; name: string } | undefined {
  if (name.length <= fields.name[1]) return { prefix: '', name }
  const slash = name.indexOf('/', name.length - fields.name[1] - 1)
  if (slash <= 0 || slash > fields.prefix[1] || slash === name.length - 1) return undefined
  return { prefix: name.slice(0, slash), name: name.slice(slash + 1) }
}

function paxRecords(entry: Entry, name: string, nameFits: boolean, size: number): Buffer[] {
  const records: Buffer[] = []
  const add = (key: string, value: string | Uint8Array): void => void records.push(paxRecord(key, value))
  const linkFits = entry.link.length <= fields.linkname[1]
  const binary = (!nameFits && !isText(name)) || (!linkFits && !isText(entry.link))
  if (binary) add('hdrcharset', 'BINARY')
  if (!nameFits) add('path', name)
  if (!linkFits) add('linkpath', entry.link)
  if (size > maxSize) add('size', String(size))
  if (entry.uid > maxId) add('uid', String(entry.uid))
  if (entry.gid > maxId) add('gid', String(entry.gid))
  if (entry.mtimeNsec !== 0 || entry.mtime < 0 || entry.mtime > maxSize) add('mtime', formatTime(entry))
  for (const key of [...entry.xattrs.keys()].sort()) {
    const value = entry.xattrs.get(key)!
    const plain = !key.includes('=')
    if (plain) add(`SCHILY.xattr.${key}`, value)
    // An empty value takes a key away, so only one that merely decodes to nothing can say an empty attribute.
    if (!plain || value.length === 0)
      add(`LIBARCHIVE.xattr.${encodePercent(key)}`, value.length === 0 ? '=' : Buffer.from(value).toString('base64'))
  }
  return records
}

/** Tells whether a name is UTF-8, which pax wants unless it is told otherwise. */
function isText(name: string): boolean {
  return isUtf8(pathToBytes(name))
}

function encodePercent(text: string): string {
  return text.replace(/[%=\x80-\xff]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

/** Returns "length key=value\n", where the length counts its own digits. */
function paxRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([
    Buffer.from(` ${key}=`, 'latin1'),
    typeof value === 'string' ? Buffer.from(value, 'latin1') : value,
    Buffer.from('\n'),
  ])
  let length = rest.length + 1
  while (rest.length + String(length).length !== length) length = rest.length + String(length).length
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** Writes seconds with as many decimals as needed; half a second after −2 is −1.5. */
function formatTime({ mtime, mtimeNsec }: Entry): string {
  const negative = mtime < 0 && mtimeNsec > 0
  const seconds = negative ? -(mtime + 1) : mtime
  const fraction = negative ? 1e9 - mtimeNsec : mtimeNsec
  const text = fraction === 0 ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`
  return `${negative ? '-' : ''}${seconds}${text}`
}

function paxHeader(records: readonly Buffer[]): Buffer {
  const body = Buffer.concat(records)
  const header = writeBlock({
    prefix: '',
    name: paxName,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
    typeflag: 'x',
    linkname: '',
    devmajor: 0,
    devminor: 0,
  })
  return Buffer.concat([header, body, tarPadding(body.length)])
}

type Values = Readonly<Record<'name' | 'prefix' | 'linkname' | 'typeflag', string>> &
  Readonly<Record<'mode' | 'uid' | 'gid' | 'size' | 'mtime' | 'devmajor' | 'devminor', number>>

function writeBlock(values: Values): Buffer {
  const block = Buffer.alloc(blockBytes)
  for (const field of ['name', 'prefix', 'linkname', 'typeflag'] as const) {
    const [at, length] = fields[field]
    block.write(values[field], at, length, 'latin1')
  }
  for (const field of ['mode', 'uid', 'gid', 'size', 'mtime', 'devmajor', 'devminor'] as const) {
    const [at, length] = fields[field]
    block.write(values[field].toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1')
  }
  block.write('ustar\0' + '00', fields.magic[0], 'latin1')
  block.write(
    `${sumHeader({ bytes: block, at: 0, view: viewOf(block) })
      .toString(8)
      .padStart(6, '0')}\0 `,
    fields.chksum[0],
    'latin1',
  )
  return block
}
