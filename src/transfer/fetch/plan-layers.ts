/**
 * What of an image has to be fetched, and what the store has already: plain data, made before a byte of content moves.
 *
 * A file that the store holds is taken as it is; of one that it does not hold, chunks may lie in other objects, such as
 * the last version of the same file; the rest is in units of the layer's blob, and neighbouring units become one request.
 */
import type { Digest } from '../../digest.ts'
import { type Descriptor, sizeOf } from '../../formats/entry.ts'
import type { TocChunk, TocFile, TocLayer } from '../../formats/toc.ts'
import type { ChunkPlace, HeldFile } from '../../store/index/held-contents.ts'
import { type ByteSpan, requestsFor, spanBytes } from './join-ranges.ts'

/** What the store holds of the files and chunks that were asked for. */
export interface Held {
  /** By sha256. */
  readonly files: ReadonlyMap<Digest, HeldFile>
  readonly chunks: ReadonlyMap<Digest, ChunkPlace>
}

/** A layer that could be fetched by parts. */
export interface PartialLayer {
  readonly blob: Descriptor
  readonly toc: TocLayer
}

export interface LayerPlan extends PartialLayer {
  /** One for each file of the table; undefined for what has no content. */
  readonly files: readonly (FilePlan | undefined)[]
  /** Indices of the files to assemble, in the order in which their bytes lie in the blob. */
  readonly order: readonly number[]
  readonly requests: readonly ByteSpan[]
  readonly count: PlanCount
}

export type FilePlan =
  | { readonly kind: 'held'; readonly file: HeldFile }
  /** Equal to a file that is assembled before it, in this layer or a lower one. */
  | { readonly kind: 'same' }
  | { readonly kind: 'assemble'; readonly pieces: readonly Piece[] }

/** A chunk, and where its bytes come from. */
export type Piece =
  | { readonly from: 'unit'; readonly chunk: TocChunk; readonly unit: number }
  | { readonly from: 'object'; readonly chunk: TocChunk; readonly place: ChunkPlace }
  | { readonly from: 'zeros'; readonly chunk: TocChunk }

/** Bytes of file content by where they come from, and what goes over the wire. */
export interface PlanCount {
  readonly heldFiles: number
  readonly heldBytes: number
  /** In files that occur more than once in the image. */
  readonly sameBytes: number
  /** In chunks of objects of the store. */
  readonly chunkBytes: number
  readonly zeroBytes: number
  /** Content that has to be fetched. */
  readonly missingFiles: number
  readonly missingBytes: number
  /** Of the blob: units that hold some of it, and what is fetched, gaps between units included. */
  readonly unitBytes: number
  readonly fetchBytes: number
  readonly requests: number
}

/** What a plan may ask for; a table of a few kilobytes can claim anything. */
export interface PlanLimits {
  /** Bytes of content, and bytes to decode, of one layer. */
  readonly layerBytes: number
  readonly layerEntries: number
}

/** A layer whose table cannot be followed in one pass over the blob has a reason instead of a plan. */
export type Planned = LayerPlan | { readonly refused: string }

/** Plans for the layers of an image, the lowest first. What one assembles, those above it do not fetch again. */
export function planLayers(layers: readonly PartialLayer[], held: Held, limits: PlanLimits): Planned[] {
  const assembled = new Set<Digest>()
  return layers.map((layer) => {
    const seen = new Set(assembled)
    const plan = new Planner(layer, held, seen).plan(limits)
    if (!('refused' in plan)) for (const digest of seen) assembled.add(digest)
    return plan
  })
}

/** The sha256 of every file with content, and its size: what to look for in the store. */
export function wantedFiles(layers: readonly PartialLayer[]): Map<Digest, number> {
  const wanted = new Map<Digest, number>()
  for (const { toc } of layers)
    for (const { entry, digest } of toc.files) {
      const size = sizeOf(entry.content)
      if (digest !== undefined && size > 0) wanted.set(digest, size)
    }
  return wanted
}

class Planner {
  readonly #layer: PartialLayer
  readonly #held: Held
  readonly #assembled: Set<Digest>
  readonly #files: (FilePlan | undefined)[] = []
  readonly #count = { heldFiles: 0, heldBytes: 0, sameBytes: 0, chunkBytes: 0, zeroBytes: 0 }
  #missingFiles = 0
  #missingBytes = 0
  #broken = false

  constructor(layer: PartialLayer, held: Held, assembled: Set<Digest>) {
    this.#layer = layer
    this.#held = held
    this.#assembled = assembled
  }

  plan(limits: PlanLimits): Planned {
    const { toc } = this.#layer
    if (toc.files.length > limits.layerEntries) return { refused: `it has more than ${limits.layerEntries} entries` }
    for (const file of toc.files) this.#files.push(this.#file(file))
    if (this.#broken) return { refused: 'its chunks do not add up to its files' }
    const order = this.#order()
    const walk = new BlobWalk(this.#layer)
    for (const index of order)
      for (const piece of piecesOf(this.#files[index])) if (piece.from === 'unit') walk.visit(piece)
    if (walk.refused !== undefined) return { refused: walk.refused }
    const { heldBytes, sameBytes, chunkBytes, zeroBytes } = this.#count
    const content = heldBytes + sameBytes + chunkBytes + zeroBytes + this.#missingBytes
    if (Math.max(content, walk.decodedBytes) > limits.layerBytes)
      return { refused: `it unfolds to more than ${limits.layerBytes} bytes` }
    return this.#finish(order, walk.spans, requestsFor(walk.spans))
  }

  #finish(order: readonly number[], spans: readonly ByteSpan[], requests: readonly ByteSpan[]): LayerPlan {
    return {
      ...this.#layer,
      files: this.#files,
      order,
      requests,
      count: {
        ...this.#count,
        missingFiles: this.#missingFiles,
        missingBytes: this.#missingBytes,
        unitBytes: spanBytes(spans),
        fetchBytes: spanBytes(requests),
        requests: requests.length,
      },
    }
  }

  #file(file: TocFile): FilePlan | undefined {
    const size = sizeOf(file.entry.content)
    if (size === 0) return undefined
    const { digest } = file
    const held = digest === undefined ? undefined : this.#held.files.get(digest)
    if (held !== undefined) {
      this.#count.heldFiles++
      this.#count.heldBytes += size
      return { kind: 'held', file: held }
    }
    if (digest !== undefined) {
      if (this.#assembled.has(digest)) {
        this.#count.sameBytes += size
        return { kind: 'same' }
      }
      this.#assembled.add(digest)
    }
    let end = 0
    for (const { offset, length } of file.chunks) {
      if (offset !== end || length <= 0) this.#broken = true
      end += length
    }
    if (end !== size) this.#broken = true
    return { kind: 'assemble', pieces: this.#pieces(file) }
  }

  #pieces({ chunks }: TocFile): Piece[] {
    const before = this.#missingBytes
    const pieces = chunks.map((chunk) => this.#piece(chunk))
    if (this.#missingBytes > before) this.#missingFiles++
    return pieces
  }

  #piece(chunk: TocChunk): Piece {
    if (chunk.unit === undefined) {
      this.#count.zeroBytes += chunk.length
      return { from: 'zeros', chunk }
    }
    const place = chunk.digest === undefined ? undefined : this.#held.chunks.get(chunk.digest)
    if (place !== undefined && place.length === chunk.length) {
      this.#count.chunkBytes += chunk.length
      return { from: 'object', chunk, place }
    }
    this.#missingBytes += chunk.length
    return { from: 'unit', chunk, unit: chunk.unit }
  }

  /** By the first unit that is needed; files that need none come as they stand in the table. */
  #order(): number[] {
    const indices = [...this.#files.keys()].filter((index) => this.#files[index]?.kind === 'assemble')
    const units = new Map(indices.map((index) => [index, firstUnit(this.#files[index])]))
    return indices.toSorted((a, b) => (units.get(a) ?? 0) - (units.get(b) ?? 0) || a - b)
  }
}

function piecesOf(plan: FilePlan | undefined): readonly Piece[] {
  return plan?.kind === 'assemble' ? plan.pieces : []
}

function firstUnit(plan: FilePlan | undefined): number {
  const first = piecesOf(plan).find((piece) => piece.from === 'unit')
  return first?.from === 'unit' ? first.unit : -1
}

/**
 * Follows the pieces through the blob. Honest tables lead through it from front to back, one file after the other; a
 * table that jumps would need any number of files open at once, and is not worth that.
 */
class BlobWalk {
  refused: string | undefined
  readonly spans: ByteSpan[] = []
  readonly #layer: PartialLayer
  #unit = -1
  /** Where the last chunk ended, in what the unit decodes to. */
  #within = 0
  #decoded = 0

  constructor(layer: PartialLayer) {
    this.#layer = layer
  }

  get decodedBytes(): number {
    return this.#decoded + this.#within
  }

  visit({ chunk, unit }: Piece & { readonly from: 'unit' }): void {
    if (unit < this.#unit || (unit === this.#unit && chunk.skip < this.#within))
      this.refused ??= 'its files do not lie in the blob one after the other'
    if (unit !== this.#unit) this.#next(unit)
    this.#within = chunk.skip + chunk.length
  }

  #next(index: number): void {
    const { toc, blob } = this.#layer
    const unit = toc.units[index]
    if (unit === undefined || unit.start < 0 || unit.end <= unit.start || unit.end > blob.size) {
      this.refused ??= 'it names bytes that the blob does not have'
      return
    }
    const last = this.spans.at(-1)
    // SOCI's spans share a byte where one ends within it.
    if (last !== undefined && unit.start < last.end - 1) this.refused ??= 'its parts overlap'
    this.spans.push({ start: unit.start, end: unit.end })
    this.#decoded += this.#within
    this.#unit = index
    this.#within = 0
  }
}
