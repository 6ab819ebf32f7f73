import { type Hash, createHash, hash } from 'node:crypto'
import { closeSync, readSync } from 'node:fs'
import type { Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Content, noContent, sizeOf } from '../../formats/entry.ts'
import { quoteName } from '../../formats/path.ts'
import type { TocChunk, TocFile } from '../../formats/toc.ts'
import { openObject } from '../../store/objects/object-files.ts'
import type { FileIntake } from '../import/file-intake.ts'
import { type Arena, pieceMax } from './arena.ts'
import type { ChunkPlace, HeldFile } from '../../store/index/held-contents.ts'
import type { LayerPlan, Piece } from './plan-layers.ts'
import type { UnitReader } from './unit-reader.ts'

export interface AssembleOptions {
  readonly storeRoot: string
  readonly units: UnitReader
  readonly arena: Arena
  readonly intake: FileIntake
  /** Of everything assembled so far, by sha256: grows. */
  readonly assembled: Map<Digest, Content>
  readonly signal: AbortSignal | undefined
}

/** Brings the missing files of a layer into the transaction; returns the content of every file of its table. */
export async function assembleLayer(plan: LayerPlan, options: AssembleOptions): Promise<Content[]> {
  const own = new Map<number, Content>()
  using assembly = new Assembly(options)
  for (const index of plan.order) {
    options.signal?.throwIfAborted()
    const [file, how] = [plan.toc.files[index], plan.files[index]]
    if (file === undefined || how?.kind !== 'assemble') continue
    const content = await assembly.file(file, how.pieces)
    own.set(index, content)
    if (file.digest !== undefined) options.assembled.set(file.digest, content)
  }
  await options.units.finish()
  options.intake.settle()
  return plan.toc.files.map((file, index) => own.get(index) ?? contentOf(file, plan.files[index], options.assembled))
}

function contentOf(file: TocFile, plan: LayerPlan['files'][number], assembled: ReadonlyMap<Digest, Content>): Content {
  if (plan === undefined) return noContent
  if (plan.kind === 'held') return heldContent(plan.file, sizeOf(file.entry.content))
  const same = file.digest === undefined ? undefined : assembled.get(file.digest)
  if (same !== undefined && sizeOf(same) === sizeOf(file.entry.content)) return same
  throw new OnefoldError('BAD_FORMAT', `Cannot assemble ${quoteName(file.entry.path)}: the file it equals did not come`)
}

function heldContent(file: HeldFile, size: number): Content {
  return file.kind === 'inline' ? { kind: 'inline', bytes: file.bytes } : { kind: 'object', digest: file.object, size }
}

class Assembly implements Disposable {
  readonly #options: AssembleOptions
  /** Objects that parts of the current file come from. */
  readonly #sources = new Map<VerityDigest, number>()

  constructor(options: AssembleOptions) {
    this.#options = options
  }

  async file(file: TocFile, pieces: readonly Piece[]): Promise<Content> {
    const { intake } = this.#options
    const size = sizeOf(file.entry.content)
    if (pieces.some(({ from }) => from === 'object')) intake.beginShared(size)
    else intake.begin({ stored: size, size, ranges: undefined })
    let parts = 0
    try {
      parts = await this.#fill(file, pieces)
    } catch (error) {
      intake.abandon()
      throw error
    }
    const content = intake.end()
    // What came in parts was put together in one of two buffers, and the next such file gets the other.
    if (parts > 1) intake.settle()
    this[Symbol.dispose]()
    return content
  }

  /** Returns in how many pieces of memory the file came. */
  async #fill(file: TocFile, pieces: readonly Piece[]): Promise<number> {
    const { intake } = this.#options
    const check = new FileCheck(file, pieces.length === 1)
    let parts = 0
    for (const piece of pieces) {
      if (piece.from === 'object') this.#takeObject(piece.place, check)
      else
        for await (const bytes of this.#bytes(piece)) {
          check.update(bytes)
          intake.data(bytes)
          parts++
        }
      check.endChunk(piece.chunk)
    }
    check.end()
    return parts
  }

  [Symbol.dispose](): void {
    for (const fd of this.#sources.values()) closeSync(fd)
    this.#sources.clear()
  }

  #bytes(piece: Exclude<Piece, { from: 'object' }>): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
    const { chunk } = piece
    return piece.from === 'unit'
      ? this.#options.units.read(piece.unit, chunk.skip, chunk.length)
      : zeroBytes(chunk.length)
  }

  #takeObject({ object, offset, length }: ChunkPlace, check: FileCheck): void {
    const { arena, intake } = this.#options
    const fd = this.#openSource(object)
    for (let done = 0; done < length;) {
      const room = arena.claim(Math.min(pieceMax, length - done))
      for (let filled = 0; filled < room.length;) {
        const read = readSync(fd, room, filled, room.length - filled, offset + done + filled)
        if (read === 0) throw new OnefoldError('CORRUPT', `Cannot read object ${object}: it ends too early`)
        filled += read
      }
      check.update(room)
      intake.share(room, fd, offset + done)
      done += room.length
    }
  }

  #openSource(object: VerityDigest): number {
    const known = this.#sources.get(object)
    if (known !== undefined) return known
    const { fd } = openObject(this.#options.storeRoot, object)
    this.#sources.set(object, fd)
    return fd
  }
}

const zeros = new Uint8Array(pieceMax)

function* zeroBytes(length: number): Generator<Uint8Array> {
  for (let done = 0; done < length; done += pieceMax) yield zeros.subarray(0, Math.min(pieceMax, length - done))
}

/** Every chunk against its digest, and the file against its own. Where both are of the same bytes, one is enough. */
class FileCheck {
  readonly #file: TocFile
  readonly #size: number
  readonly #single: boolean
  #whole: Hash | undefined
  #chunk: Hash | undefined
  /** A file, or chunk, that came in one piece is hashed in one call. */
  #first: Uint8Array | undefined

  constructor(file: TocFile, single: boolean) {
    this.#file = file
    this.#size = sizeOf(file.entry.content)
    this.#single = single && (file.digest === undefined || [undefined, file.digest].includes(file.chunks[0]?.digest))
  }

  update(bytes: Uint8Array): void {
    if (this.#file.digest !== undefined) {
      if (bytes.length === this.#size) this.#first = bytes
      else (this.#whole ??= createHash('sha256')).update(bytes)
    }
    if (!this.#isSkipped) (this.#chunk ??= createHash('sha256')).update(bytes)
  }

  /** The file's digest says all that the chunk's does. */
  get #isSkipped(): boolean {
    return this.#single && this.#file.digest !== undefined
  }

  endChunk({ digest }: TocChunk): void {
    const found = this.#chunk?.digest('hex')
    this.#chunk = undefined
    if (digest !== undefined && found !== undefined && `sha256:${found}` !== digest) throw this.#mismatch(digest, found)
  }

  end(): void {
    const { digest } = this.#file
    if (digest === undefined) return
    const found = this.#first === undefined ? this.#whole?.digest('hex') : hash('sha256', this.#first, 'hex')
    if (`sha256:${found}` !== digest) throw this.#mismatch(digest, String(found))
  }

  #mismatch(want: Digest, found: string): OnefoldError {
    const path = quoteName(this.#file.entry.path)
    return new OnefoldError(
      'DIGEST_MISMATCH',
      `Cannot assemble ${path}: expected ${want}, the bytes that came hash to sha256:${found}`,
    )
  }
}
