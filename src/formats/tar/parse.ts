/**
 * Reads a tar of any dialect as it comes by: push bytes in, get entries out, hold nothing but the header being read.
 *
 *     [x or L or K: header, body, padding]…  header  [sparse map blocks]  body  padding      once per entry
 *     zero block  zero block  anything                                                       the end
 *
 * FORMAT.md in this folder says which of the known readers each decision follows.
 */
import { OnefoldError } from '../../error.ts'
import { type Entry, type EntryType, noContent } from '../entry.ts'
import { cleanPath, maxPathBytes, quoteName } from '../path.ts'
import {
  type Block,
  type Dialect,
  blockBytes,
  dialectOf,
  fields,
  isChecksumRight,
  isZeroBlock,
  paddingOf,
  readName,
  readNumber,
  readText,
} from './header.ts'
import {
  type PaxRecords,
  badAttribute,
  noRecords,
  parsePaxRecords,
  paxName,
  paxNumber,
  paxTime,
  paxXattrs,
} from './pax.ts'
import {
  MapReader,
  type Ranges,
  checkRanges,
  gnuExtensionPairs,
  gnuHeaderPairs,
  gnuRealSize,
  parseMapRecord,
  readGnuPairs,
  tooManyRanges,
} from './sparse.ts'

export interface TarHandler {
  /** Bytes that are not file content, in order: headers, pax records, sparse maps, padding, and all from the end marker on. */
  framing(bytes: Uint8Array): void
  /** The framing up to here has been handed over; the body's bytes, if any, follow. */
  entry(entry: Entry, body: TarBody): void
  /** Stored bytes of the current entry's body. The memory is the caller's: valid during the call only. */
  data(bytes: Uint8Array): void
  endEntry(): void
}

export interface TarBody {
  /** Bytes of the body in the archive. */
  readonly stored: number
  /** Bytes of the file; more than `stored` when it is sparse. */
  readonly size: number
  /** Sparse files: where the stored bytes lie in the file. Undefined: they are the file. */
  readonly ranges: Ranges | undefined
}

export interface TarLimits {
  /** Bytes of one file, holes included. */
  readonly maxEntrySize?: number
  /** Bytes of all files together, holes included. */
  readonly maxTotal?: number
  readonly maxEntries?: number
  /** Bytes of extended headers (pax, GNU long names) in front of one entry. */
  readonly maxPaxBytes?: number
  /** Parts of one sparse file. */
  readonly maxSparseRanges?: number
  /** Bytes after the end marker. */
  readonly maxTrailing?: number
}

export interface TarOptions extends TarLimits {
  /**
   * Whether a global pax header (typeflag g) says something about the entries after it. POSIX and GNU tar: yes. Go's
   * archive/tar, hence every container engine, and libarchive: no, and so a layer means what it means to them.
   */
  readonly globalHeaders?: 'ignore' | 'apply'
}

const GiB = 2 ** 30

export const defaultTarLimits: Required<TarLimits> = {
  maxEntrySize: 256 * GiB,
  maxTotal: 1024 * GiB,
  maxEntries: 4_000_000,
  maxPaxBytes: 2 ** 20,
  maxSparseRanges: 100_000,
  maxTrailing: 64 * 2 ** 20,
}

/** Extended headers in a row; each may override the one before, so more than a few are nobody's honest work. */
const maxExtendedHeaders = 1000

/** Largest ids of Linux: uid_t with −1 left out, and dev_t's 12 and 20 bits. */
const maxId = 0xfffffffe
const maxMajor = 0xfff
const maxMinor = 0xfffff

const entryTypes: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  '7': 'file', // "contiguous": a hint for real-time file systems
  S: 'file', // old GNU sparse
}

/** What the parser expects next. */
const HEADER = 0
const EXTENDED_BODY = 1
const GNU_MAP = 2
const PAX_MAP = 3
const BODY = 4
const PADDING = 5
const SECOND_ZERO = 6
const TRAILING = 7
type State = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

interface Extended {
  readonly flag: string
  readonly size: number
}

/** An entry whose header is read and whose sparse map may still be coming. */
interface Pending {
  readonly entry: Omit<Entry, 'content'>
  /** What the header says lies in the archive, a pax 1.0 map included. */
  readonly stored: number
  readonly size: number
}

export class TarParser {
  readonly #handler: TarHandler
  readonly #limits: Required<TarLimits>
  readonly #applyGlobals: boolean

  #state: State = HEADER
  /** Stream offset of the current chunk's first byte. */
  #base = 0
  #chunk: Buffer = Buffer.alloc(0)
  #at = 0
  /** Where the framing not handed over yet begins in the chunk. */
  #framingFrom = 0

  /** A block that began in an earlier chunk. */
  readonly #carry = Buffer.alloc(blockBytes)
  #carried = 0
  readonly #block: { bytes: Buffer; at: number } = { bytes: this.#carry, at: 0 }

  /** Bytes of body or padding still to come. */
  #left = 0
  #padding = 0
  #silent = false

  #extended: Extended | undefined
  #extendedBody: Buffer = this.#carry
  #extendedHeaders = 0
  #extendedBytes = 0
  #globals: PaxRecords = noRecords
  #records: PaxRecords | undefined
  #longName: string | undefined
  #longLink: string | undefined

  #pending: Pending | undefined
  #numbers: number[] = []
  #mapReader: MapReader | undefined

  #entries = 0
  #total = 0
  #trailing = 0

  constructor(handler: TarHandler, options: TarOptions = {}) {
    this.#handler = handler
    this.#limits = { ...defaultTarLimits, ...options }
    this.#applyGlobals = options.globalHeaders === 'apply'
  }

  /** True from the end marker on: no entry can follow. */
  get ended(): boolean {
    return this.#state === TRAILING
  }

  /** The next bytes of the archive, as many or few as there are. After an error the parser is of no further use. */
  write(chunk: Uint8Array): void {
    this.#chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    this.#at = 0
    this.#framingFrom = 0
    while (this.#at < this.#chunk.length) this.#step()
    this.#flushFraming()
    this.#base += this.#chunk.length
  }

  /** From `entry()`: the body that follows is of no interest; it is passed over without `data()`. */
  skipBody(): void {
    this.#silent = true
  }

  /** From `entry()`: the stored body is not in what is written; its padding comes next. */
  bodyElsewhere(): void {
    this.#left = 0
  }

  /** The archive is over: throws BAD_FORMAT unless it may end here. */
  end(): void {
    const clean = this.#carried === 0 && this.#extendedHeaders === 0
    if (this.#state === TRAILING || (clean && (this.#state === HEADER || this.#state === SECOND_ZERO))) return
    throw this.#bad('the archive is cut short')
  }

  #step(): void {
    switch (this.#state) {
      case HEADER:
        if (this.#takeBlock()) this.#readHeader()
        return
      case EXTENDED_BODY:
        return this.#takeExtendedBody()
      case GNU_MAP:
        if (this.#takeBlock()) this.#readGnuMap()
        return
      case PAX_MAP:
        if (this.#takeBlock()) this.#readPaxMap()
        return
      case BODY:
        return this.#takeBody()
      case PADDING:
        return this.#takePadding()
      case SECOND_ZERO:
        if (this.#takeBlock()) this.#readSecondZero()
        return
      case TRAILING:
        return this.#takeTrailing()
    }
  }

  // Bytes.

  /** Points `#block` at the next whole block, in the chunk where it can; false when more bytes are needed. */
  #takeBlock(): boolean {
    const available = this.#chunk.length - this.#at
    if (this.#carried === 0 && available >= blockBytes) {
      this.#block.bytes = this.#chunk
      this.#block.at = this.#at
      this.#at += blockBytes
      return true
    }
    const length = Math.min(available, blockBytes - this.#carried)
    this.#chunk.copy(this.#carry, this.#carried, this.#at, this.#at + length)
    this.#at += length
    this.#carried += length
    if (this.#carried < blockBytes) return false
    this.#carried = 0
    this.#block.bytes = this.#carry
    this.#block.at = 0
    return true
  }

  #flushFraming(): void {
    if (this.#framingFrom < this.#at) this.#handler.framing(this.#view(this.#framingFrom, this.#at))
    this.#framingFrom = this.#at
  }

  #view(from: number, to: number): Uint8Array {
    return new Uint8Array(this.#chunk.buffer, this.#chunk.byteOffset + from, to - from)
  }

  #takeBody(): void {
    const length = Math.min(this.#left, this.#chunk.length - this.#at)
    const from = this.#at
    this.#at += length
    this.#framingFrom = this.#at
    this.#left -= length
    if (!this.#silent) this.#handler.data(this.#view(from, this.#at))
    if (this.#left === 0) this.#endEntry()
  }

  #takePadding(): void {
    const length = Math.min(this.#padding, this.#chunk.length - this.#at)
    this.#at += length
    this.#padding -= length
    if (this.#padding === 0) this.#state = HEADER
  }

  #takeTrailing(): void {
    this.#trailing += this.#chunk.length - this.#at
    this.#at = this.#chunk.length
    if (this.#trailing > this.#limits.maxTrailing)
      throw this.#over('maxTrailing', 'the archive', `${this.#trailing} bytes follow its end marker`)
  }

  // Headers.

  #readHeader(): void {
    const block = this.#block
    if (block.bytes[block.at] === 0 && isZeroBlock(block)) {
      if (this.#extendedHeaders > 0) throw this.#bad('an extended header has no entry after it')
      this.#state = SECOND_ZERO
      return
    }
    if (!isChecksumRight(block)) throw this.#bad('the checksum of a header is wrong')
    const flag = block.bytes.toString('latin1', block.at + fields.typeflag[0], block.at + fields.typeflag[0] + 1)
    const type = entryTypes[flag]
    if (type !== undefined) return this.#readEntry(block, flag, type)
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') return this.#beginExtended(block, flag)
    if (flag === 'V') return this.#readLabel(block)
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot read tar entry ${quoteName(readName(block, dialectOf(block)))}: its type is ${JSON.stringify(flag)}, which no container engine knows`,
    )
  }

  /** A lone zero block may end an archive that was cut to blocks; what follows it otherwise is not to be guessed at. */
  #readSecondZero(): void {
    if (!isZeroBlock(this.#block)) throw this.#bad('a single zero block stands between entries')
    this.#state = TRAILING
  }

  /** GNU's volume label: a header without entry or body. */
  #readLabel(block: Block): void {
    if (this.#number(block, 'size') !== 0) throw this.#bad('a volume label has a body')
  }

  #beginExtended(block: Block, flag: string): void {
    const size = this.#number(block, 'size')
    if (size < 0) throw this.#bad('an extended header has a negative size')
    this.#extendedHeaders++
    this.#extendedBytes += size
    if (this.#extendedBytes > this.#limits.maxPaxBytes)
      throw this.#over('maxPaxBytes', 'an extended header', `it has ${this.#extendedBytes} bytes`)
    if (this.#extendedHeaders > maxExtendedHeaders)
      throw new OnefoldError(
        'LIMIT',
        `Cannot read tar: more than ${maxExtendedHeaders} extended headers in a row at byte ${this.#position}`,
      )
    this.#extended = { flag, size }
    this.#extendedBody = this.#carry
    this.#left = size
    this.#padding = paddingOf(size)
    if (size === 0) this.#endExtended(Buffer.alloc(0))
    else this.#state = EXTENDED_BODY
  }

  #takeExtendedBody(): void {
    const size = this.#extended!.size
    const available = this.#chunk.length - this.#at
    if (this.#left === size && available >= size) {
      this.#at += size
      this.#left = 0
      return this.#endExtended(this.#chunk.subarray(this.#at - size, this.#at))
    }
    if (this.#left === size) this.#extendedBody = Buffer.alloc(size)
    const length = Math.min(this.#left, available)
    this.#chunk.copy(this.#extendedBody, size - this.#left, this.#at, this.#at + length)
    this.#at += length
    this.#left -= length
    if (this.#left === 0) this.#endExtended(this.#extendedBody)
  }

  #endExtended(body: Buffer): void {
    const flag = this.#extended!.flag
    if (flag === 'x') this.#records = parsePaxRecords(body, this.#globals)
    else if (flag === 'L') this.#longName = upToNul(body)
    else if (flag === 'K') this.#longLink = upToNul(body)
    else this.#readGlobals(body)
    this.#state = this.#padding === 0 ? HEADER : PADDING
  }

  /** A global header stands for itself: an archive may end after it, and one between x and its entry changes nothing. */
  #readGlobals(body: Buffer): void {
    const records = parsePaxRecords(body, this.#globals)
    if (this.#applyGlobals) this.#globals = records
    const alone = this.#records === undefined && this.#longName === undefined && this.#longLink === undefined
    if (alone) this.#extendedHeaders = this.#extendedBytes = 0
  }

  // Entries.

  #readEntry(block: Block, flag: string, flagType: EntryType): void {
    const dialect = dialectOf(block)
    const records = this.#records ?? this.#globals
    const sparse = flag === 'S' ? 'gnu' : sparseVersion(records)
    const name =
      (sparse === undefined ? undefined : paxName(records, 'GNU.sparse.name')) ??
      this.#longName ??
      paxName(records, 'path') ??
      readName(block, dialect)
    // Before there was a typeflag for directories, a slash at the end of the name made one.
    const type = flag === '\0' && name.endsWith('/') ? 'directory' : flagType
    const path = cleanPath(name)
    if (path === '' && type !== 'directory') throw badEntry(name, `a ${type} has no name`)

    const device = type === 'char' || type === 'block'
    const time = paxTime(records, 'mtime')
    const entry = {
      path,
      type,
      mode: this.#number(block, 'mode') & 0o7777,
      uid: this.#id(block, records, 'uid'),
      gid: this.#id(block, records, 'gid'),
      mtime: time?.seconds ?? this.#number(block, 'mtime'),
      mtimeNsec: time?.nanoseconds ?? 0,
      major: device ? this.#device(block, dialect, 'devmajor', records, maxMajor) : 0,
      minor: device ? this.#device(block, dialect, 'devminor', records, maxMinor) : 0,
      link: type === 'symlink' || type === 'hardlink' ? this.#link(block, records, type, name) : '',
      xattrs: records.size === 0 ? paxXattrs(noRecords) : paxXattrs(records),
    }
    if (!Number.isSafeInteger(entry.mtime)) throw badEntry(name, 'its mtime is beyond 2^53')
    const stored = paxNumber(records, 'size') ?? this.#number(block, 'size')
    if (type !== 'file') {
      // As in Go: these are headers only, whatever their size says. A hard link's size is often its target's.
      if (sparse !== undefined) throw badEntry(name, `a ${type} cannot be sparse`)
      this.#beginEntry({ entry, stored: 0, size: 0 }, undefined)
    } else if (stored < 0) throw badEntry(name, 'its size is negative')
    else if (sparse === undefined) this.#beginEntry({ entry, stored, size: stored }, undefined)
    else if (sparse === 'gnu') this.#beginGnuSparse(block, dialect, entry, stored)
    else this.#beginPaxSparse(sparse, records, entry, stored)
  }

  #beginGnuSparse(block: Block, dialect: Dialect, entry: Omit<Entry, 'content'>, stored: number): void {
    if (dialect !== 'gnu') throw badEntry(entry.path, 'it is sparse in a dialect that is not GNU')
    this.#pending = { entry, stored, size: readNumber(block, ...gnuRealSize) }
    this.#numbers = []
    this.#state = GNU_MAP
    if (!readGnuPairs(block, gnuHeaderPairs, this.#numbers)) this.#endGnuMap()
  }

  #beginPaxSparse(where: 'record' | 'body', records: PaxRecords, entry: Omit<Entry, 'content'>, stored: number): void {
    const size = paxNumber(records, 'GNU.sparse.realsize') ?? paxNumber(records, 'GNU.sparse.size')
    if (size === undefined || size < 0) throw badEntry(entry.path, 'it is sparse, and its real size is missing')
    this.#pending = { entry, stored, size }
    if (where === 'record') {
      const numbers = parseMapRecord(records.get('GNU.sparse.map') ?? '', this.#limits.maxSparseRanges)
      return this.#beginEntry(this.#pending, this.#ranges(this.#pending, numbers))
    }
    this.#mapReader = new MapReader(this.#limits.maxSparseRanges)
    this.#state = PAX_MAP
  }

  #readGnuMap(): void {
    const more = readGnuPairs(this.#block, gnuExtensionPairs, this.#numbers)
    if (this.#numbers.length > this.#limits.maxSparseRanges * 2) throw tooManyRanges(this.#limits.maxSparseRanges)
    if (!more) this.#endGnuMap()
  }

  #endGnuMap(): void {
    this.#beginEntry(this.#pending!, this.#ranges(this.#pending!, this.#numbers))
  }

  #readPaxMap(): void {
    const { entry, stored, size } = this.#pending!
    const data = stored - blockBytes
    if (data < 0) throw badEntry(entry.path, 'its sparse map is longer than its body')
    this.#pending = { entry, stored: data, size }
    if (this.#mapReader!.read(this.#block))
      this.#beginEntry(this.#pending, this.#ranges(this.#pending, this.#mapReader!.numbers))
  }

  #ranges({ entry, stored, size }: Pending, numbers: readonly number[]): Ranges {
    this.#checkSize(entry.path, size)
    return checkRanges(numbers, size, stored)
  }

  /** Everything about the entry is known: tell the handler, then expect its body. */
  #beginEntry({ entry, stored, size }: Pending, ranges: Ranges | undefined): void {
    if (++this.#entries > this.#limits.maxEntries)
      throw this.#over('maxEntries', 'the archive', `it has more than ${this.#limits.maxEntries} entries`)
    this.#checkSize(entry.path, size)
    this.#total += size
    if (this.#total > this.#limits.maxTotal)
      throw this.#over('maxTotal', quoteName(entry.path), `the files up to here have ${this.#total} bytes`)
    this.#forgetExtended()
    this.#left = stored
    this.#padding = paddingOf(stored)
    this.#silent = false
    this.#flushFraming()
    this.#handler.entry(withContent(entry, size), { stored, size, ranges })
    if (this.#left === 0) this.#endEntry()
    else this.#state = BODY
  }

  #endEntry(): void {
    this.#state = this.#padding === 0 ? HEADER : PADDING
    this.#handler.endEntry()
  }

  #forgetExtended(): void {
    this.#records = undefined
    this.#longName = undefined
    this.#longLink = undefined
    this.#pending = undefined
    this.#mapReader = undefined
    this.#extendedHeaders = 0
    this.#extendedBytes = 0
  }

  // Fields.

  #number(block: Block, field: 'mode' | 'size' | 'mtime' | 'uid' | 'gid' | 'devmajor' | 'devminor'): number {
    const value = readNumber(block, fields[field][0], fields[field][1])
    if (Number.isNaN(value)) throw this.#bad(`the field ${field} of a header is not a number`)
    return value
  }

  #id(block: Block, records: PaxRecords, key: 'uid' | 'gid'): number {
    const id = paxNumber(records, key) ?? this.#number(block, key)
    if (id < 0 || id > maxId) throw badAttribute(key, String(id))
    return id
  }

  /** v7 has no device fields; star's own records hold what no longer fits into them. */
  #device(block: Block, dialect: Dialect, field: 'devmajor' | 'devminor', records: PaxRecords, limit: number): number {
    const value = paxNumber(records, `SCHILY.${field}`) ?? (dialect === 'v7' ? 0 : this.#number(block, field))
    if (value < 0 || value > limit) throw badAttribute(field, String(value))
    return value
  }

  #link(block: Block, records: PaxRecords, type: EntryType, name: string): string {
    const target = this.#longLink ?? paxName(records, 'linkpath') ?? readText(block, ...fields.linkname)
    if (target === '') throw badEntry(name, `a ${type} has no target`)
    if (type === 'hardlink') return cleanPath(target)
    if (target.length >= maxPathBytes) throw badEntry(name, `its target has ${target.length} bytes`)
    return target
  }

  // Errors.

  #checkSize(path: string, size: number): void {
    if (!(size <= this.#limits.maxEntrySize)) throw this.#over('maxEntrySize', quoteName(path), `it has ${size} bytes`)
  }

  get #position(): number {
    return this.#base + this.#at
  }

  #bad(found: string): OnefoldError {
    return new OnefoldError('BAD_FORMAT', `Cannot read tar: ${found}, at byte ${this.#position}`)
  }

  #over(limit: keyof TarLimits, what: string, found: string): OnefoldError {
    return new OnefoldError(
      'LIMIT',
      `Cannot read tar: ${what} is too large: ${found}, the limit ${limit} is ${this.#limits[limit]}`,
      { hint: `Raise the limit ${limit} if you trust the archive.` },
    )
  }
}

function withContent(entry: Omit<Entry, 'content'>, size: number): Entry {
  return {
    path: entry.path,
    type: entry.type,
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    mtimeNsec: entry.mtimeNsec,
    major: entry.major,
    minor: entry.minor,
    link: entry.link,
    xattrs: entry.xattrs,
    content: size === 0 ? noContent : { kind: 'unknown', size },
  }
}

/** Which pax encoding of a sparse map the records announce: 0.0 and 0.1 in a record, 1.0 in the body. */
function sparseVersion(records: PaxRecords): 'record' | 'body' | undefined {
  if (records.size === 0) return undefined
  const [major, minor] = [records.get('GNU.sparse.major'), records.get('GNU.sparse.minor')]
  if (major === undefined && minor === undefined) return records.has('GNU.sparse.map') ? 'record' : undefined
  if (major === '0' && (minor === '0' || minor === '1')) return 'record'
  if (major === '1' && minor === '0') return 'body'
  throw new OnefoldError('UNSUPPORTED', `Cannot read a sparse file: its format is GNU.sparse ${major}.${minor}`)
}

function upToNul(bytes: Buffer): string {
  const nul = bytes.indexOf(0)
  return bytes.toString('latin1', 0, nul === -1 ? bytes.length : nul)
}

function badEntry(name: string, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read tar entry ${quoteName(name)}: ${found}`)
}
