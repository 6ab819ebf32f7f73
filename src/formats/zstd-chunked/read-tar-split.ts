/**
 * Reads a tar-split: a tar without the contents of its files, one JSON object a line (github.com/vbatts/tar-split):
 *
 *     {"type":2,"payload":"…base64…","position":0}                              bytes of the tar
 *     {"type":1,"name":"a/b","size":5,"payload":"…","position":1}               here stands the content of a file
 *
 * The second kind follows every header; without a size for what has no content. Its payload is a CRC-64 that nobody
 * needs who has a sha256. Headers are the tar's own, so the tar parser reads them.
 */
import { OnefoldError } from '../../error.ts'
import { type Entry, sizeOf } from '../entry.ts'
import { type JsonLimits, readJson } from '../json.ts'
import { quoteName } from '../path.ts'
import { type TarBody, TarParser } from '../tar/tar-parser.ts'
import type { IndexedFile, SplitBody, TarSplit } from '../content-index.ts'
import { differenceOf } from '../toc-json/entry-difference.ts'
import type { TocLimits } from '../toc-json/toc-json.ts'

const framingStart = Buffer.from('{"type":2,"payload":"', 'latin1')
/** Limits of one line: a few names and numbers. The tar-split as a whole was bounded when it was unpacked. */
const lineLimits: JsonLimits = { bytes: Infinity, depth: 2, values: 64 }
const SEGMENT = 2
const FILE = 1

/**
 * Reads a tar-split.
 * @param files files of the table: their entries must be those of the tar, one by one, or the table is refused
 */
export function readTarSplit(json: Uint8Array, files: readonly IndexedFile[], limits: Required<TocLimits>): TarSplit {
  const reader = new SplitReader(files, json.length, limits)
  const bytes = Buffer.from(json.buffer, json.byteOffset, json.length)
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(0x0a, at)
    const end = newline === -1 ? bytes.length : newline
    if (end > at) readLine(bytes.subarray(at, end), reader)
    at = end + 1
  }
  return reader.finish()
}

function readLine(line: Buffer, reader: SplitReader): void {
  if (line.subarray(0, framingStart.length).equals(framingStart)) {
    const end = line.indexOf(0x22, framingStart.length)
    return reader.segment(line.toString('latin1', framingStart.length, end === -1 ? line.length : end))
  }
  const fields = readJson(line, 'a line of a tar-split', lineLimits)
  const type = fields.size('type')
  if (type === SEGMENT) return reader.segment(fields.string('payload') ?? '')
  if (type !== FILE) throw badSplit('a line of it is neither framing nor a file')
  if (fields.has('size')) reader.body(fields.size('size'))
}

/** Runs the tar parser over the framing alone and compares what it finds with the table. */
class SplitReader {
  readonly #files: readonly IndexedFile[]
  readonly #parser: TarParser
  /** Memory for the framing: base64 takes four bytes for three. */
  readonly #framing: Buffer
  #length = 0
  readonly #bodies: SplitBody[] = []
  #bodyBytes = 0
  #nextFile = 0
  /** Header with content that is to come, and the number of framing bytes that the parser had handed out then. */
  #pending: SplitBody | undefined
  #parsed = 0

  constructor(files: readonly IndexedFile[], jsonBytes: number, limits: Required<TocLimits>) {
    this.#files = files
    this.#framing = Buffer.allocUnsafe(Math.ceil(jsonBytes / 4) * 3)
    const { maxEntries, maxEntrySize, maxTotal } = limits
    this.#parser = new TarParser(
      {
        framing: (bytes) => void (this.#parsed += bytes.length),
        entry: (entry, body) => this.#entry(entry, body),
        data: () => {},
        endEntry: () => {},
      },
      { maxEntries, maxEntrySize, maxTotal },
    )
  }

  segment(base64: string): void {
    this.#expectNoBody()
    const length = decodedLength(base64)
    const written = this.#framing.write(base64, this.#length, length, 'base64')
    if (written !== length) throw badSplit('its framing is not base64')
    this.#length += length
    this.#parser.write(this.#framing.subarray(this.#length - length, this.#length))
    if (this.#pending !== undefined && this.#pending.at !== this.#length)
      throw badSplit('a header is not followed by its content')
  }

  body(size: number): void {
    if (size === 0) return
    const pending = this.#pending
    if (pending === undefined || sizeOf(this.#files[pending.file]!.entry.content) !== size)
      throw badSplit(`it has ${size} bytes of content that no header announces`)
    this.#bodies.push(pending)
    this.#bodyBytes += size
    this.#pending = undefined
  }

  finish(): TarSplit {
    this.#expectNoBody()
    this.#parser.end()
    const missing = this.#files[this.#nextFile]
    if (missing !== undefined) throw disagrees(missing.entry.path, 'the tar does not have it')
    return {
      framing: this.#framing.subarray(0, this.#length),
      bodies: this.#bodies,
      tarSize: this.#length + this.#bodyBytes,
    }
  }

  #entry(entry: Entry, body: TarBody): void {
    this.#expectNoBody()
    const file = this.#files[this.#nextFile]
    if (file === undefined) throw disagrees(entry.path, 'it is in the tar alone')
    if (body.ranges !== undefined)
      throw new OnefoldError('UNSUPPORTED', `Cannot use a tar-split: ${quoteName(entry.path)} is a sparse file`)
    const difference = differenceOf(file.entry, entry)
    if (difference !== undefined) throw disagrees(entry.path, `its ${difference} is another one in the tar`)
    if (body.stored > 0) {
      this.#parser.bodyElsewhere()
      this.#pending = { at: this.#parsed, file: this.#nextFile }
    }
    this.#nextFile++
  }

  #expectNoBody(): void {
    if (this.#pending !== undefined) throw badSplit('a header is not followed by its content')
  }
}

function decodedLength(base64: string): number {
  if (base64.length % 4 !== 0) throw badSplit('its framing is not base64')
  return (base64.length / 4) * 3 - (base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0)
}

function disagrees(path: string, found: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot accept a table of contents: it disagrees with its tar about ${quoteName(path)}: ${found}`,
  )
}

function badSplit(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read a tar-split: ${found}`)
}
