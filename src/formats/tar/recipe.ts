/**
 * A layer as stored: every byte of its tar that is not file content, and for each file what holds its content. Enough to
 * build the tar again bit for bit, and to read its entries by running the tar parser over the same framing. RECIPE.md in
 * this folder has the picture; this file is version 1.
 */
import { createHash } from 'node:crypto'
import {
  type DiffId,
  type RecipeDigest,
  type VerityDigest,
  parseDiffId,
  parseRecipeDigest,
  verityDigestFrom,
} from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { type Content, type Entry, sizeOf } from '../entry.ts'
import { type TarBody, type TarOptions, TarParser } from './parse.ts'
import type { Ranges } from './sparse.ts'

export interface RecipeEnd {
  readonly diffId: DiffId
  /** Bytes of the whole tar. */
  readonly tarSize: number
}

/** A part of the tar that is content: `length` bytes from `offset` of the object. */
export interface ObjectPiece {
  readonly object: VerityDigest
  readonly offset: number
  readonly length: number
}

export interface Recipe extends RecipeEnd {
  /**
   * The entries of the tar in order, contents filled in.
   * @param options as the tar was read; its limits do not count again
   */
  entries(options?: Pick<TarOptions, 'globalHeaders'>): Generator<Entry>
  /** Every object the layer needs, as often as it needs it. */
  objects(): Generator<{ digest: VerityDigest; size: number }>
  /** The exact bytes of the tar. */
  rebuild(): Generator<Uint8Array | ObjectPiece>
}

const magic = Buffer.from('1fRECIPE', 'latin1')
const version = 1
const headerBytes = magic.length + 1

/** Low three bits of an operation's number; the rest is its length or size. */
const RAW = 0
const ZEROS = 1
const INLINE = 2
const OBJECT = 3
const SPARSE_INLINE = 4
const SPARSE_OBJECT = 5
const END = 6

/** Shorter runs of zeros cost more as an operation than they save. Counted in 4-byte words. */
const minZeroWords = 4
const stagingBytes = 1 << 16
const maxVarintBytes = 8
const digestBytes = 32
/** More than any layer whose entries fit into memory. */
const maxRecipeBytes = 2 ** 30

/** Collects a recipe while a tar goes by. What it gives does not depend on how the framing was cut into pieces. */
export class RecipeWriter {
  #out = Buffer.allocUnsafe(stagingBytes)
  #length = 0
  /** The framing since the last file, in portions of this size. */
  readonly #staging = Buffer.alloc(stagingBytes)
  readonly #words = new Int32Array(this.#staging.buffer, this.#staging.byteOffset, stagingBytes / 4)
  #staged = 0

  constructor() {
    magic.copy(this.#out)
    this.#out[magic.length] = version
    this.#length = headerBytes
  }

  /** The next bytes of the tar that are not content. */
  framing(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(bytes.length - at, stagingBytes - this.#staged)
      const part = length === bytes.length ? bytes : bytes.subarray(at, at + length)
      this.#staging.set(part, this.#staged)
      this.#staged += length
      at += length
      if (this.#staged === stagingBytes) this.#flushFraming()
    }
  }

  /**
   * The body of the entry whose header went by last: the whole file, holes included.
   * @param ranges as the parser gave them: which parts of a sparse file the tar holds
   */
  file(content: Content, ranges: Ranges | undefined): void {
    if (content.kind === 'empty') return
    if (content.kind === 'unknown')
      throw new OnefoldError('USAGE', 'Cannot put a file into a recipe: what it holds is not known yet')
    this.#flushFraming()
    if (content.kind === 'inline') {
      this.#operation(ranges === undefined ? INLINE : SPARSE_INLINE, content.bytes.length)
      this.#bytes(content.bytes, 0, content.bytes.length)
    } else {
      this.#operation(ranges === undefined ? OBJECT : SPARSE_OBJECT, content.size)
      this.#reserve(digestBytes)
      this.#length += this.#out.write(content.digest, this.#length, digestBytes, 'hex')
    }
    if (ranges !== undefined) this.#ranges(ranges)
  }

  /** The whole recipe, uncompressed. */
  finish({ diffId, tarSize }: RecipeEnd): Uint8Array {
    this.#flushFraming()
    this.#operation(END, tarSize)
    const text = Buffer.from(diffId, 'latin1')
    this.#varint(text.length)
    this.#bytes(text, 0, text.length)
    return this.#out.subarray(0, this.#length)
  }

  #flushFraming(): void {
    const words = this.#words
    const count = this.#staged >>> 2
    let literal = 0
    for (let i = 0; i < count;) {
      if (words[i] !== 0) {
        i++
        continue
      }
      let end = i + 1
      while (end < count && words[end] === 0) end++
      if (end - i >= minZeroWords) {
        this.#raw(literal, i * 4)
        this.#operation(ZEROS, (end - i) * 4)
        literal = end * 4
      }
      i = end
    }
    this.#raw(literal, this.#staged)
    this.#staged = 0
  }

  #raw(from: number, to: number): void {
    if (from === to) return
    this.#operation(RAW, to - from)
    this.#bytes(this.#staging, from, to)
  }

  #operation(kind: number, length: number): void {
    this.#varint(length * 8 + kind)
  }

  #ranges(ranges: Ranges): void {
    this.#varint(ranges.length)
    let end = 0
    for (const [offset, length] of ranges) {
      this.#varint(offset - end)
      this.#varint(length)
      end = offset + length
    }
  }

  #varint(value: number): void {
    this.#reserve(maxVarintBytes)
    const out = this.#out
    while (value > 0x7fffffff) {
      out[this.#length++] = (value % 128) | 0x80
      value = Math.floor(value / 128)
    }
    while (value > 0x7f) {
      out[this.#length++] = (value & 0x7f) | 0x80
      value >>>= 7
    }
    out[this.#length++] = value
  }

  #bytes(bytes: Uint8Array, from: number, to: number): void {
    const length = to - from
    this.#reserve(length)
    copyShort(bytes, from, length, this.#out, this.#length)
    this.#length += length
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#out.length) return
    if (needed > maxRecipeBytes)
      throw new OnefoldError('LIMIT', `Cannot store a layer: its headers alone have more than ${maxRecipeBytes} bytes`)
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#out.length * 2))
    this.#out.copy(larger, 0, 0, this.#length)
    this.#out = larger
  }
}

/** The name of a recipe: sha256 of its uncompressed bytes. */
export function recipeDigest(bytes: Uint8Array): RecipeDigest {
  return parseRecipeDigest(createHash('sha256').update(bytes).digest('hex'))
}

/** Throws CORRUPT when the bytes are no recipe, UNSUPPORTED when they are one of a later version. */
export function readRecipe(bytes: Uint8Array): Recipe {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  checkHeader(buffer)
  const end = checkOperations(buffer)
  return {
    ...end,
    entries: (options = {}) => entries(buffer, end.tarSize, options),
    objects: () => objects(buffer),
    rebuild: () => rebuild(buffer, end.tarSize),
  }
}

function checkHeader(bytes: Buffer): void {
  if (bytes.length < headerBytes || !bytes.subarray(0, magic.length).equals(magic))
    throw damaged('it does not begin as a recipe does')
  if (bytes[magic.length] !== version)
    throw new OnefoldError('UNSUPPORTED', `Cannot read a recipe of version ${bytes[magic.length]}: this is version 1`, {
      hint: 'A newer onefold wrote this store; use that.',
    })
}

/** One pass over everything, so that the readers below need not look twice at a length. */
function checkOperations(bytes: Buffer): RecipeEnd {
  const cursor = new Cursor(bytes)
  let tarSize = 0
  while (cursor.next()) {
    if (cursor.kind === OBJECT || cursor.kind === INLINE || cursor.kind <= ZEROS) tarSize += cursor.length
    else tarSize += sumOf(cursor.ranges())
  }
  if (tarSize !== cursor.length) throw damaged(`it gives a tar of ${tarSize} bytes and says ${cursor.length}`)
  return { tarSize, diffId: cursor.diffId() }
}

function sumOf(ranges: Ranges): number {
  let sum = 0
  for (const [, length] of ranges) sum += length
  return sum
}

/** Walks the operations; each read is checked against the end of the bytes. */
class Cursor {
  readonly bytes: Buffer
  #at = headerBytes
  #rangesAt = 0
  kind = END
  /** RAW, ZEROS: bytes of framing. Files: their real size. END: bytes of the tar. */
  length = 0
  /** Where the operation's bytes (RAW, inline content, digest) lie. */
  from = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** False at the end, which is there to be looked at. */
  next(): boolean {
    const number = this.#varint()
    this.kind = number % 8
    this.length = Math.floor(number / 8)
    this.from = this.#at
    if (this.kind > END) throw damaged(`it has an operation ${this.kind}`)
    if (this.kind === END) return false
    this.#at += this.#payload()
    if (this.#at > this.bytes.length) throw damaged('it is cut short')
    if (this.kind === SPARSE_INLINE || this.kind === SPARSE_OBJECT) this.#skipRanges()
    return true
  }

  isFile(): boolean {
    return this.kind > ZEROS
  }

  content(): Content {
    if (this.kind === INLINE || this.kind === SPARSE_INLINE)
      return { kind: 'inline', bytes: new Uint8Array(this.bytes.subarray(this.from, this.from + this.length)) }
    return { kind: 'object', digest: this.digest(), size: this.length }
  }

  digest(): VerityDigest {
    return verityDigestFrom(this.bytes, this.from)
  }

  /** The parts of a sparse file that lie in the tar. */
  ranges(): Ranges {
    const after = this.#at
    this.#at = this.#rangesAt
    const ranges: [number, number][] = []
    let end = 0
    for (let count = this.#varint(); count > 0; count--) {
      const offset = end + this.#varint()
      const length = this.#varint()
      end = offset + length
      if (end > this.length) throw damaged('a part of a sparse file lies beyond its end')
      ranges.push([offset, length])
    }
    this.#at = after
    return ranges
  }

  /** At the end: the name of the tar, after which nothing follows. */
  diffId(): DiffId {
    const length = this.#varint()
    const text = this.bytes.toString('latin1', this.#at, this.#at + length)
    if (text.length !== length || this.#at + length !== this.bytes.length)
      throw damaged('its end is not where it should be')
    try {
      return parseDiffId(text)
    } catch (cause) {
      throw damaged('it does not say the diffID of its tar', cause)
    }
  }

  #payload(): number {
    if (this.kind === ZEROS) return 0
    return this.kind === OBJECT || this.kind === SPARSE_OBJECT ? digestBytes : this.length
  }

  #skipRanges(): void {
    this.#rangesAt = this.#at
    for (let count = this.#varint(); count > 0; count--) {
      this.#varint()
      this.#varint()
    }
  }

  #varint(): number {
    let value = this.bytes[this.#at++]
    if (value === undefined) throw damaged('it is cut short')
    if (value < 0x80) return value
    value -= 0x80
    for (let scale = 128; scale <= 2 ** 49; scale *= 128) {
      const byte = this.bytes[this.#at++]
      if (byte === undefined) throw damaged('it is cut short')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
    }
    throw damaged('it holds a number beyond 2^53')
  }
}

function* objects(bytes: Buffer): Generator<{ digest: VerityDigest; size: number }> {
  const cursor = new Cursor(bytes)
  while (cursor.next()) {
    if (cursor.kind === OBJECT || cursor.kind === SPARSE_OBJECT) yield { digest: cursor.digest(), size: cursor.length }
  }
}

const portionBytes = 1 << 18

/** Framing is gathered in portions that are handed out and never written again. */
class Portion {
  readonly #size: number
  #memory: Buffer
  #from = 0
  #to = 0

  /** @param most bytes that will be added in all: a small layer takes little memory */
  constructor(most: number) {
    this.#size = Math.min(portionBytes, most + 1)
    this.#memory = Buffer.alloc(this.#size)
  }

  get length(): number {
    return this.#to - this.#from
  }

  /** What could be added before the portion is full. */
  add(bytes: Buffer, from: number, length: number): number {
    const taken = this.zeros(length)
    copyShort(bytes, from, taken, this.#memory, this.#to - taken)
    return taken
  }

  zeros(length: number): number {
    const taken = Math.min(length, this.#memory.length - this.#to)
    this.#to += taken
    return taken
  }

  take(): Uint8Array {
    const bytes = this.#memory.subarray(this.#from, this.#to)
    this.#from = this.#to
    if (this.#to === this.#memory.length) {
      this.#memory = Buffer.alloc(this.#size)
      this.#from = this.#to = 0
    }
    return bytes
  }

  get full(): boolean {
    return this.#to === this.#memory.length
  }
}

function* rebuild(bytes: Buffer, tarSize: number): Generator<Uint8Array | ObjectPiece> {
  const cursor = new Cursor(bytes)
  const portion = new Portion(tarSize)
  while (cursor.next()) {
    if (cursor.kind === ZEROS || cursor.kind === RAW || cursor.kind === INLINE) yield* fill(cursor, portion)
    else if (cursor.kind === SPARSE_INLINE) {
      for (const [offset, length] of cursor.ranges()) yield* fill(cursor, portion, offset, length)
    } else {
      if (portion.length > 0) yield portion.take()
      const object = cursor.digest()
      const parts: Ranges = cursor.kind === OBJECT ? [[0, cursor.length]] : cursor.ranges()
      for (const [offset, length] of parts) yield { object, offset, length }
    }
  }
  if (portion.length > 0) yield portion.take()
}

/**
 * Adds bytes of the current operation to the portion. A portion that is full is yielded only when more is to come: what
 * belongs to the header at its end, the next operation, then is known.
 */
function* fill(cursor: Cursor, portion: Portion, offset = 0, length = cursor.length): Generator<Uint8Array> {
  for (let done = 0; done < length;) {
    if (portion.full) yield portion.take()
    done +=
      cursor.kind === ZEROS
        ? portion.zeros(length - done)
        : portion.add(cursor.bytes, cursor.from + offset + done, length - done)
  }
}

/** A file of the recipe, and how much framing comes before its body. */
interface FileAt {
  readonly framing: number
  readonly content: Content
  readonly ranges: Ranges | undefined
}

function* entries(bytes: Buffer, tarSize: number, options: Pick<TarOptions, 'globalHeaders'>): Generator<Entry> {
  const reader = new EntryReader(options)
  const cursor = new Cursor(bytes)
  const portion = new Portion(tarSize)
  let framing = 0
  while (cursor.next()) {
    if (cursor.isFile()) {
      const sparse = cursor.kind === SPARSE_INLINE || cursor.kind === SPARSE_OBJECT
      reader.expect({ framing, content: cursor.content(), ranges: sparse ? cursor.ranges() : undefined })
      continue
    }
    framing += cursor.length
    if (reader.ended) continue
    for (const full of fill(cursor, portion)) yield* reader.read(full)
  }
  if (portion.length > 0) yield* reader.read(portion.take())
  reader.finish()
}

const noLimits = {
  maxEntrySize: Number.MAX_SAFE_INTEGER,
  maxTotal: Number.POSITIVE_INFINITY,
  maxEntries: Number.POSITIVE_INFINITY,
  maxPaxBytes: maxRecipeBytes,
  maxSparseRanges: Number.POSITIVE_INFINITY,
  maxTrailing: Number.POSITIVE_INFINITY,
} as const

/** Runs the parser over framing alone and puts the recipe's contents into the entries. */
class EntryReader {
  readonly #parser: TarParser
  #entries: Entry[] = []
  #files: FileAt[] = []
  #nextFile = 0
  #framing = 0

  constructor(options: Pick<TarOptions, 'globalHeaders'>) {
    this.#parser = new TarParser(
      {
        framing: (bytes) => void (this.#framing += bytes.length),
        entry: (entry, body) => this.#entry(entry, body),
        data: () => {},
        endEntry: () => {},
      },
      { ...options, ...noLimits },
    )
  }

  get ended(): boolean {
    return this.#parser.ended
  }

  expect(file: FileAt): void {
    this.#files.push(file)
  }

  read(framing: Uint8Array): Entry[] {
    this.#entries = []
    try {
      this.#parser.write(framing)
    } catch (cause) {
      if (!hasCode(cause, 'CORRUPT')) throw damaged('its framing is no tar', cause)
      throw cause
    }
    this.#files = this.#files.slice(this.#nextFile)
    this.#nextFile = 0
    return this.#entries
  }

  finish(): void {
    if (this.#nextFile < this.#files.length) throw damaged('it has contents without an entry')
    try {
      this.#parser.end()
    } catch (cause) {
      throw damaged('its framing is cut short', cause)
    }
  }

  #entry(entry: Entry, body: TarBody): void {
    if (body.size === 0) {
      this.#entries.push(entry)
      return
    }
    const file = this.#files[this.#nextFile++]
    if (file?.framing !== this.#framing || sizeOf(file.content) !== body.size || !sameRanges(file.ranges, body.ranges))
      throw damaged(`the content of ${JSON.stringify(entry.path)} is not where its header is`)
    this.#parser.bodyElsewhere()
    this.#entries.push(withContent(entry, file.content))
  }
}

/** Written out: spreading costs four times as much, once per file of every layer. */
function withContent(entry: Entry, content: Content): Entry {
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
    content,
  }
}

function sameRanges(a: Ranges | undefined, b: Ranges | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.length === b.length && a.every(([offset, length], i) => offset === b[i]![0] && length === b[i]![1])
}

/** A plain loop beats the call into native code for most of what recipes are made of. */
function copyShort(source: Uint8Array, from: number, length: number, target: Uint8Array, at: number): void {
  if (length > 64) target.set(source.subarray(from, from + length), at)
  else for (let i = 0; i < length; i++) target[at + i] = source[from + i]!
}

function damaged(found: string, cause?: unknown): OnefoldError {
  return new OnefoldError('CORRUPT', `Cannot read a recipe: ${found}`, {
    cause,
    hint: 'onefold fsck finds what is damaged in the store and fetches it again.',
  })
}
