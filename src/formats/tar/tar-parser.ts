/**
 * Reads a tar of any dialect as it comes by: push bytes in, get entries out, hold nothing but the header being read.
 *
 *     [x or L or K: header, body, padding]…  header  [sparse map blocks]  body  padding      once per entry
 *     zero block  zero block  anything                                                       the end
 *
 * FORMAT.md in this folder says which of the known readers each decision follows.
 */
import { OnefoldError } from '../../error.ts'
import type { Entry, EntryType } from '../entry.ts'
import { quoteName } from '../path.ts'
import { type EntryHeader, badEntry, entryTypes, readEntryHeader, readSize } from './tar-entry.ts'
import {
  type Block,
  blockBytes,
  dialectOf,
  fields,
  isChecksumRight,
  isZeroBlock,
  paddingOf,
  readName,
  viewOf,
} from './tar-header.ts'
import { type TarLimits, type TarOptions, defaultTarLimits } from './tar-limits.ts'
import { type PaxRecords, noRecords, parsePaxRecords } from './pax.ts'
import {
  MapReader,
  type Ranges,
  checkRanges,
  gnuExtensionPairs,
  gnuHeaderPairs,
  parseMapRecord,
  readGnuPairs,
  tooManyRanges,
} from './sparse.ts'

export type { TarLimits, TarOptions }

export interface TarHandler {
  /**
   * Takes bytes that are not file content, in order: headers, pax records, sparse maps, padding, and all from the end
   * marker on.
   */
  framing(bytes: Uint8Array): void
  /** Takes an entry. The framing up to here has been handed over; the body's bytes, if any, follow. */
  entry(entry: Entry, body: TarBody): void
  /** Takes stored bytes of the current entry's body. The memory is the caller's: valid during the call only. */
  data(bytes: Uint8Array): void
  endEntry(): void
}

export interface TarBody {
  /** Number of bytes of the body in the archive. */
  readonly stored: number
  /** Size of the file, in bytes; more than `stored` when it is sparse. */
  readonly size: number
  /** Ranges of the stored bytes in a sparse file; undefined when they are the whole file. */
  readonly ranges: Ranges | undefined
}

/** Most extended headers in a row; each may override the one before, so more than a few are nobody's honest work. */
const maxExtendedHeaders = 1000

/** States, by what the parser expects next. */
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

export class TarParser {
  readonly #handler: TarHandler
  readonly #limits: Required<TarLimits>
  readonly #applyGlobals: boolean
  readonly #fileTypes: 'ignore' | 'apply'

  #state: State = HEADER
  /** Stream offset of the current chunk's first byte. */
  #base = 0
  #chunk: Buffer = Buffer.alloc(0)
  #chunkView = viewOf(this.#chunk)
  #at = 0
  /** Offset in the chunk of the framing that is not handed over yet. */
  #framingFrom = 0

  /** Block that began in an earlier chunk. */
  readonly #carry = Buffer.alloc(blockBytes)
  #carried = 0
  readonly #carryView = viewOf(this.#carry)
  /** Block being looked at: one object for all of them. */
  readonly #block: { -readonly [key in keyof Block]: Block[key] } = { bytes: this.#carry, at: 0, view: this.#carryView }

  /** Number of bytes of body or padding still to come. */
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

  /** Entry whose header is read and whose sparse map is still coming. */
  #pending: EntryHeader | undefined
  #numbers: number[] = []
  #mapReader: MapReader | undefined

  #entries = 0
  #total = 0
  #trailing = 0

  constructor(handler: TarHandler, options: TarOptions = {}) {
    this.#handler = handler
    this.#limits = { ...defaultTarLimits, ...options }
    this.#applyGlobals = options.globalHeaders === 'apply'
    this.#fileTypes = options.fileTypes ?? 'ignore'
  }

  /** True from the end marker on: no entry can follow. */
  get ended(): boolean {
    return this.#state === TRAILING
  }

  /**
   * Takes the next bytes of the archive, as many or few as there are. After an error the parser is of no further use.
   */
  write(chunk: Uint8Array): void {
    this.#chunk = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    this.#chunkView = viewOf(chunk)
    this.#at = 0
    this.#framingFrom = 0
    while (this.#at < this.#chunk.length) this.#step()
    this.#flushFraming()
    this.#base += this.#at
    this.#at = 0
  }

  /** Passes over the body that follows, without `data()`; to be called from `entry()`. */
  skipBody(): void {
    this.#silent = true
  }

  /** Tells that the stored body is not in what is written, and its padding comes next; to be called from `entry()`. */
  bodyElsewhere(): void {
    this.#left = 0
  }

  /** Ends the archive: throws BAD_FORMAT unless it may end here. */
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

  /** Points `#block` at the next whole block, in the chunk where it can; returns false when more bytes are needed. */
  #takeBlock(): boolean {
    const available = this.#chunk.length - this.#at
    if (this.#carried === 0 && available >= blockBytes) {
      this.#block.bytes = this.#chunk
      this.#block.view = this.#chunkView
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
    this.#block.view = this.#carryView
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
      this.#state = SECOND_ZERO
      return
    }
    if (!isChecksumRight(block)) throw this.#bad('the checksum of a header is wrong')
    const byte = block.bytes[block.at + fields.typeflag[0]]!
    const type = entryTypes.get(byte)
    if (type !== undefined) return this.#readEntry(block, byte, type)
    const flag = String.fromCharCode(byte)
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') return this.#beginExtended(block, flag)
    if (flag === 'V') return this.#readLabel(block)
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot read tar entry ${quoteName(readName(block, dialectOf(block)))}: its type is ${JSON.stringify(flag)}, which no container engine knows`,
    )
  }

  /**
   * Reads the block after a zero block. A lone zero block may end an archive that was cut to blocks; anything else
   * behind it is not guessed at.
   */
  #readSecondZero(): void {
    if (!isZeroBlock(this.#block)) throw this.#bad('a single zero block stands between entries')
    this.#state = TRAILING
  }

  /** Reads GNU's volume label: a header without entry or body. */
  #readLabel(block: Block): void {
    if (readSize(block) !== 0) throw this.#bad('a volume label has a body')
    this.#forgetExtended()
  }

  #beginExtended(block: Block, flag: string): void {
    const size = readSize(block)
    if (size < 0) throw this.#bad('an extended header has a negative size')
    this.#extendedHeaders++
    this.#extendedBytes += size
    if (this.#extendedBytes > this.#limits.maxPaxBytes)
      throw this.#over('maxPaxBytes', 'an extended header', `it has ${sizeText(this.#extendedBytes)} bytes`)
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

  /**
   * Reads a global header. It stands for itself: an archive may end after it. Ignored as Go ignores it, it also makes
   * what extended headers in front of it said of no effect.
   */
  #readGlobals(body: Buffer): void {
    const records = parsePaxRecords(body, this.#globals)
    if (this.#applyGlobals) this.#globals = records
    else this.#forgetExtended()
    const alone = this.#records === undefined && this.#longName === undefined && this.#longLink === undefined
    if (alone) this.#extendedHeaders = this.#extendedBytes = 0
  }

  // Entries.

  #readEntry(block: Block, flag: number, type: EntryType): void {
    const header = readEntryHeader(block, flag, type, {
      records: this.#records ?? this.#globals,
      longName: this.#longName,
      longLink: this.#longLink,
      fileTypes: this.#fileTypes,
    })
    this.#checkSize(header)
    switch (header.map) {
      case undefined:
        return this.#beginEntry(header, undefined)
      case 'record':
        return this.#beginSparse(header, parseMapRecord(header.mapRecord, this.#limits.maxSparseRanges))
      case 'body':
        this.#mapReader = new MapReader(this.#limits.maxSparseRanges)
        this.#state = PAX_MAP
        break
      case 'gnu':
        this.#numbers = []
        this.#state = GNU_MAP
        if (!readGnuPairs(block, gnuHeaderPairs, this.#numbers)) return this.#beginSparse(header, this.#numbers)
    }
    this.#pending = header
  }

  #readGnuMap(): void {
    const more = readGnuPairs(this.#block, gnuExtensionPairs, this.#numbers)
    if (this.#numbers.length > this.#limits.maxSparseRanges * 2) throw tooManyRanges(this.#limits.maxSparseRanges)
    if (!more) this.#beginSparse(this.#pending!, this.#numbers)
  }

  #readPaxMap(): void {
    const header = this.#pending!
    const stored = header.stored - blockBytes
    if (stored < 0) throw badEntry(header.entry.path, 'its sparse map is longer than its body')
    this.#pending = { ...header, stored }
    if (this.#mapReader!.read(this.#block)) this.#beginSparse(this.#pending, this.#mapReader!.numbers)
  }

  #beginSparse(header: EntryHeader, numbers: readonly number[]): void {
    this.#beginEntry(header, checkRanges(numbers, header.size, header.stored))
  }

  /** Begins an entry of which everything is known: tells the handler, then expects its body. */
  #beginEntry({ entry, stored, size }: EntryHeader, ranges: Ranges | undefined): void {
    if (++this.#entries > this.#limits.maxEntries)
      throw this.#over('maxEntries', 'the archive', `it has more than ${this.#limits.maxEntries} entries`)
    this.#total += size
    if (this.#total > this.#limits.maxTotal)
      throw this.#over('maxTotal', quoteName(entry.path), `the files up to here have ${this.#total} bytes`)
    this.#forgetExtended()
    this.#left = stored
    this.#padding = paddingOf(stored)
    this.#silent = false
    this.#flushFraming()
    this.#handler.entry(entry, { stored, size, ranges })
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

  // Errors.

  #checkSize({ entry, size }: EntryHeader): void {
    if (!(size <= this.#limits.maxEntrySize))
      throw this.#over('maxEntrySize', quoteName(entry.path), `it has ${sizeText(size)} bytes`)
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

function upToNul(bytes: Buffer): string {
  const nul = bytes.indexOf(0)
  return bytes.toString('latin1', 0, nul === -1 ? bytes.length : nul)
}

function sizeText(size: number): string {
  return size > Number.MAX_SAFE_INTEGER ? 'more than 2^53' : String(size)
}
