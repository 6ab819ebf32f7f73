/** Reads one entry from its header block and the extended headers before it. */
import { OnefoldError } from '../../error.ts'
import { type Entry, type EntryType, noContent } from '../entry.ts'
import { cleanPath, maxPathBytes, quoteName } from '../path.ts'
import { type Block, type Dialect, dialectOf, fields, readName, readNumber, readText } from './tar-header.ts'
import { type PaxRecords, badAttribute, paxName, paxNumber, paxTime, paxXattrs } from './pax.ts'
import { gnuRealSize } from './sparse.ts'

/** Largest ids of Linux: uid_t with −1 left out, and dev_t's 12 and 20 bits. */
const maxId = 0xfffffffe
const maxMajor = 0xfff
const maxMinor = 0xfffff

/** pax record in which star says what a file is when no typeflag does (star(1), "SCHILY.filetype"). */
export const fileTypeRecord = 'SCHILY.filetype'

/** Typeflags of entries; the other ones belong to the parser. */
export const entryTypes = new Map<number, EntryType>(
  (
    [
      ['\0', 'file'],
      ['0', 'file'],
      ['1', 'hardlink'],
      ['2', 'symlink'],
      ['3', 'char'],
      ['4', 'block'],
      ['5', 'directory'],
      ['6', 'fifo'],
      ['7', 'file'], // "contiguous": a hint for real-time file systems
      ['S', 'file'], // old GNU sparse
    ] as const
  ).map(([flag, type]) => [flag.charCodeAt(0), type]),
)
const NUL = 0
const gnuSparse = 0x53

/** Statements of extended headers about the entry after them. */
export interface Extended {
  readonly records: PaxRecords
  readonly longName: string | undefined
  readonly longLink: string | undefined
  /** Tells whether records may say of a FIFO that it is a socket. */
  readonly fileTypes: 'ignore' | 'apply'
}

export interface EntryHeader {
  readonly entry: Entry
  /** Number of bytes in the archive, a map in the body included. */
  readonly stored: number
  /** Size of the file; not checked against any limit. */
  readonly size: number
  /** Place of the map of a sparse file. */
  readonly map: SparseMap | undefined
  readonly mapRecord: string
}

/**
 * Place of a sparse map: in header and extension blocks, in a pax record (0.0 and 0.1), or at the beginning of the body
 * (1.0).
 */
type SparseMap = 'gnu' | 'record' | 'body'

/**
 * Reads the header of an entry.
 * @param flag the typeflag, of which `flagType` is the meaning
 */
export function readEntryHeader(block: Block, flag: number, flagType: EntryType, extended: Extended): EntryHeader {
  const { records } = extended
  const dialect = dialectOf(block)
  const map = flag === gnuSparse ? 'gnu' : sparseMapOf(records)
  const name = nameOf(block, dialect, extended, map)
  // Before there was a typeflag for directories, a slash at the end of the name made one.
  const type = flag === NUL && name.endsWith('/') ? 'directory' : typeOf(flagType, extended)
  const path = cleanPath(name)
  if (path === '' && type !== 'directory') throw badEntry(name, `a ${type} has no name`)
  const { stored, size } = sizesOf(block, dialect, records, type, map, name)
  const device = type === 'char' || type === 'block'
  const time = paxTime(records, 'mtime')
  const mtime = time?.seconds ?? readField(block, 'mtime')
  if (!Number.isSafeInteger(mtime)) throw badEntry(name, 'its mtime is beyond 2^53')
  const entry: Entry = {
    path,
    type,
    mode: readField(block, 'mode') & 0o7777,
    uid: idOf(block, records, 'uid'),
    gid: idOf(block, records, 'gid'),
    mtime,
    mtimeNsec: time?.nanoseconds ?? 0,
    major: device ? deviceOf(block, dialect, 'devmajor', records, maxMajor) : 0,
    minor: device ? deviceOf(block, dialect, 'devminor', records, maxMinor) : 0,
    link: type === 'symlink' || type === 'hardlink' ? linkOf(block, type, name, extended) : '',
    xattrs: paxXattrs(records),
    content: size === 0 ? noContent : { kind: 'unknown', size },
  }
  return { entry, stored, size, map, mapRecord: map === 'record' ? mapRecordOf(records, name) : '' }
}

function typeOf(type: EntryType, { records, fileTypes }: Extended): EntryType {
  return type === 'fifo' && fileTypes === 'apply' && records.get(fileTypeRecord) === 'socket' ? 'socket' : type
}

/** Returns the size of any header's body; throws when the field is not a number. */
export function readSize(block: Block): number {
  return readField(block, 'size')
}

function nameOf(block: Block, dialect: Dialect, extended: Extended, map: SparseMap | undefined): string {
  const { records, longName } = extended
  const sparseName = map === undefined || map === 'gnu' ? undefined : paxName(records, 'GNU.sparse.name')
  return sparseName ?? longName ?? paxName(records, 'path') ?? readName(block, dialect)
}

/** Returns the pax encoding of a sparse map that the records announce. */
function sparseMapOf(records: PaxRecords): SparseMap | undefined {
  if (records.size === 0) return undefined
  const [major, minor] = [records.get('GNU.sparse.major'), records.get('GNU.sparse.minor')]
  if (major === undefined && minor === undefined) return records.has('GNU.sparse.map') ? 'record' : undefined
  if (major === '0' && (minor === '0' || minor === '1')) return 'record'
  if (major === '1' && minor === '0') return 'body'
  const version = quoteName(`${major ?? ''}.${minor ?? ''}`)
  throw new OnefoldError(
    'UNSUPPORTED',
    `Cannot read a sparse file: its version is ${version}, expected 0.0, 0.1 or 1.0`,
  )
}

function sizesOf(
  block: Block,
  dialect: Dialect,
  records: PaxRecords,
  type: EntryType,
  map: SparseMap | undefined,
  name: string,
): { stored: number; size: number } {
  const stored = paxNumber(records, 'size') ?? readField(block, 'size')
  if (type !== 'file') {
    // As in Go: these are headers only, whatever their size says. A hard link's size is often its target's.
    if (map !== undefined) throw badEntry(name, `a ${type} cannot be sparse`)
    return { stored: 0, size: 0 }
  }
  if (stored < 0) throw badEntry(name, 'its size is negative')
  if (map === undefined) return { stored, size: stored }
  if (map === 'gnu') {
    if (dialect !== 'gnu') throw badEntry(name, 'it is sparse in a dialect that is not GNU')
    const size = readNumber(block, ...gnuRealSize)
    if (!(size >= 0)) throw badEntry(name, 'it is sparse, and its real size is not a number')
    return { stored, size }
  }
  const size = paxNumber(records, 'GNU.sparse.realsize') ?? paxNumber(records, 'GNU.sparse.size')
  if (size === undefined || size < 0) throw badEntry(name, 'it is sparse, and its real size is missing')
  return { stored, size }
}

function mapRecordOf(records: PaxRecords, name: string): string {
  const map = records.get('GNU.sparse.map') ?? ''
  const count = paxNumber(records, 'GNU.sparse.numblocks')
  if (count !== undefined && map.split(',').length !== count * 2 && !(count === 0 && map === ''))
    throw badEntry(name, `its sparse map has not the ${count} parts it should have`)
  return map
}

function readField(block: Block, field: 'mode' | 'size' | 'mtime' | 'uid' | 'gid' | 'devmajor' | 'devminor'): number {
  const value = readNumber(block, fields[field][0], fields[field][1])
  if (Number.isNaN(value))
    throw new OnefoldError('BAD_FORMAT', `Cannot read tar: the field ${field} of a header is not a number`)
  return value
}

function idOf(block: Block, records: PaxRecords, key: 'uid' | 'gid'): number {
  const id = paxNumber(records, key) ?? readField(block, key)
  if (id < 0 || id > maxId) throw badAttribute(key, String(id))
  return id
}

/** Reads a device number. v7 has no device fields; star's own records hold what no longer fits into them. */
function deviceOf(
  block: Block,
  dialect: Dialect,
  field: 'devmajor' | 'devminor',
  records: PaxRecords,
  limit: number,
): number {
  const value = paxNumber(records, `SCHILY.${field}`) ?? (dialect === 'v7' ? 0 : readField(block, field))
  if (value < 0 || value > limit) throw badAttribute(field, String(value))
  return value
}

function linkOf(block: Block, type: EntryType, name: string, { records, longLink }: Extended): string {
  const target = longLink ?? paxName(records, 'linkpath') ?? readText(block, ...fields.linkname)
  if (target === '') throw badEntry(name, `a ${type} has no target`)
  if (type === 'hardlink') return cleanPath(target)
  if (target.length >= maxPathBytes) throw badEntry(name, `its target has ${target.length} bytes`)
  return target
}

export function badEntry(name: string, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read tar entry ${quoteName(name)}: ${found}`)
}
