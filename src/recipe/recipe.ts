/**
 * A layer as stored: every byte of its tar that is not file content, and for each file what holds its content. That is
 * enough to build the tar again bit for bit, and to read its entries by running the tar parser over the same framing.
 * RECIPE.md in this folder has the picture; this file is version 1.
 */
import { createHash } from 'node:crypto'
import { type RecipeDigest, type VerityDigest, parseRecipeDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import { type Content, type Entry, sizeOf } from '../formats/entry.ts'
import { noTarLimits } from '../formats/tar/tar-limits.ts'
import { type TarBody, type TarOptions, TarParser } from '../formats/tar/tar-parser.ts'
import {
  Cursor,
  INLINE,
  OBJECT,
  RAW,
  SPARSE_INLINE,
  SPARSE_OBJECT,
  ZEROS,
  checkHeader,
  copyShort,
  damaged,
} from './recipe-operations.ts'
import type { RecipeEnd } from './recipe-write.ts'
import type { Ranges } from '../formats/tar/sparse.ts'

export { type RecipeEnd, RecipeWriter } from './recipe-write.ts'

/** Part of the tar that is content: `length` bytes from `offset` of the object. */
export interface ObjectPiece {
  readonly object: VerityDigest
  readonly offset: number
  readonly length: number
}

/** Options by which the tar is to be understood; its limits do not count again. */
export type RecipeOptions = Pick<TarOptions, 'globalHeaders' | 'fileTypes'>

export interface Recipe extends RecipeEnd {
  /**
   * Yields the entries of the tar in order, with contents filled in.
   * @param options the same with which the tar was read
   */
  entries(options?: RecipeOptions): Generator<Entry>
  /** Yields every object the layer needs, as often as it needs it. */
  objects(): Generator<{ digest: VerityDigest; size: number }>
  /** Yields the exact bytes of the tar. */
  rebuild(): Generator<Uint8Array | ObjectPiece>
}

/** Returns the name of a recipe: sha256 of its uncompressed bytes. */
export function recipeDigest(bytes: Uint8Array): RecipeDigest {
  return parseRecipeDigest(createHash('sha256').update(bytes).digest('hex'))
}

/** Parses a recipe. Throws CORRUPT when the bytes are no recipe, UNSUPPORTED when they are one of a later version. */
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

/**
 * Visits every object of a recipe as the place of its 32 bytes in `bytes`: for callers that look at a million of them.
 * Checks the recipe as readRecipe does, but calls `visit` before it has seen the end.
 */
export function visitObjects(bytes: Uint8Array, visit: (bytes: Uint8Array, at: number) => void): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  checkHeader(buffer)
  checkOperations(buffer, (from) => visit(buffer, from))
}

/** Checks all operations in one pass, so that the readers below need not look twice at a length. */
function checkOperations(bytes: Buffer, visitObject?: (from: number) => void): RecipeEnd {
  const cursor = new Cursor(bytes)
  let tarSize = 0
  while (cursor.next()) {
    if (cursor.kind === OBJECT || cursor.kind === SPARSE_OBJECT) visitObject?.(cursor.from)
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

function* objects(bytes: Buffer): Generator<{ digest: VerityDigest; size: number }> {
  const cursor = new Cursor(bytes)
  while (cursor.next()) {
    if (cursor.kind === OBJECT || cursor.kind === SPARSE_OBJECT) yield { digest: cursor.digest(), size: cursor.length }
  }
}

const portionBytes = 1 << 18

/** Portion of framing, handed out once it is full and never written again. */
class Portion {
  readonly #size: number
  #memory: Buffer
  #from = 0
  #to = 0

  /** @param most number of bytes that will be added in all: a small layer takes little memory */
  constructor(most: number) {
    this.#size = Math.min(portionBytes, most + 1)
    this.#memory = Buffer.alloc(this.#size)
  }

  get length(): number {
    return this.#to - this.#from
  }

  /** Adds the bytes of an operation if they fit, as nearly all do. */
  takes({ kind, bytes, from, length }: Cursor): boolean {
    if (length > this.#memory.length - this.#to) return false
    if (kind === ZEROS) this.zeros(length)
    else this.add(bytes, from, length)
    return true
  }

  /** Adds as many bytes as fit before the portion is full; returns their number. */
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
    if (cursor.kind === ZEROS || cursor.kind === RAW || cursor.kind === INLINE) {
      if (!portion.takes(cursor)) yield* fill(cursor, portion)
    } else if (cursor.kind === SPARSE_INLINE) {
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
 * Adds bytes of the current operation to the portion. A portion that is full is yielded only when more is to come: by
 * then the next operation, which belongs to the header at its end, is known.
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

/** File of the recipe, and the number of framing bytes before its body. */
interface FileAt {
  readonly framing: number
  readonly content: Content
  readonly ranges: Ranges | undefined
}

function* entries(bytes: Buffer, tarSize: number, options: RecipeOptions): Generator<Entry> {
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
    if (portion.takes(cursor)) continue
    for (const full of fill(cursor, portion)) yield* reader.read(full)
  }
  if (portion.length > 0) yield* reader.read(portion.take())
  reader.finish()
}

/** Runs the parser over framing alone and puts the recipe's contents into the entries. */
class EntryReader {
  readonly #parser: TarParser
  #entries: Entry[] = []
  #files: FileAt[] = []
  #nextFile = 0
  #framing = 0

  constructor(options: RecipeOptions) {
    this.#parser = new TarParser(
      {
        framing: (bytes) => void (this.#framing += bytes.length),
        entry: (entry, body) => this.#entry(entry, body),
        data: () => {},
        endEntry: () => {},
      },
      { ...options, ...noTarLimits },
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

/**
 * Returns the entry with its content. Written out: spreading costs four times as much, once per file of every layer.
 */
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
