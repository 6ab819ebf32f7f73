/**
 * Plans what of an image has to be fetched, and what the store has already: plain data, made before a byte of content
 * moves.
 *
 * A file that the store holds is taken as it is; of one that it does not hold, extents may lie in other objects, such
 * as the last version of the same file; the rest is in units of blobs, and neighbouring units become one request.
 */
import type { BlobRange } from '../../content/range-scheduler.ts'
import { type ByteSpan, UnitWalk } from '../../content/unit-walk.ts'
import type { Digest } from '../../digest.ts'
import { identityOf } from '../../formats/content-digests.ts'
import type { ContentIndex, Extent, IndexedFile } from '../../formats/content-index.ts'
import { sizeOf } from '../../formats/entry.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { ChunkPlace, HeldFile } from '../../store/index/held-contents.ts'
import { requestsFor, spanBytes } from './join-ranges.ts'
import { blobUnits } from './origins/blob-units.ts'
import { holes } from './origins/holes.ts'
import { objectChunks } from './origins/object-chunks.ts'
import { type Origin, type Piece, findPiece } from './origins/origin.ts'

/** Files and extents that the store holds of those that were asked for, by their sha256. */
export interface Held {
  readonly files: ReadonlyMap<Digest, HeldFile>
  readonly chunks: ReadonlyMap<Digest, ChunkPlace>
}

/** Layer that could be fetched by parts. */
export interface PartialLayer {
  readonly blob: Descriptor
  readonly index: ContentIndex
}

export interface LayerPlan extends PartialLayer {
  /** Plan for each file of the index; undefined for files without content. */
  readonly files: readonly (FilePlan | undefined)[]
  /** Indices of the files to assemble, in the order in which their bytes lie in the blobs. */
  readonly order: readonly number[]
  readonly requests: readonly BlobRange[]
  readonly count: PlanCount
}

export type FilePlan =
  | { readonly kind: 'held'; readonly file: HeldFile }
  /** File equal to one that is assembled before it, in this layer or a lower one. */
  | { readonly kind: 'same' }
  | { readonly kind: 'assemble'; readonly pieces: readonly Piece[] }

/** Bytes of file content by where they come from, and the bytes that go over the wire. */
export interface PlanCount {
  readonly heldFiles: number
  readonly heldBytes: number
  /** Bytes in files that occur more than once in the image. */
  readonly sameBytes: number
  /** Bytes in chunks of objects of the store. */
  readonly chunkBytes: number
  readonly zeroBytes: number
  /** Number of files with content that has to be fetched. */
  readonly missingFiles: number
  readonly missingBytes: number
  /** Bytes of blobs in units that hold some of the missing content. */
  readonly unitBytes: number
  /** Bytes of blobs that are fetched, gaps between units included. */
  readonly fetchBytes: number
  readonly requests: number
}

/** Limits on what a plan may ask for; a table of a few kilobytes can claim anything. */
export interface PlanLimits {
  /** Limit on bytes of content, and on bytes to decode, of one layer. */
  readonly layerBytes: number
  readonly layerEntries: number
}

/** Plan of a layer, or the reason why its index cannot be followed. */
export type Planned = LayerPlan | { readonly refused: string }

/** Plans the layers of an image, the lowest first. Files that one assembles, those above it do not fetch again. */
export function planLayers(layers: readonly PartialLayer[], held: Held, limits: PlanLimits): Planned[] {
  const origins = [holes, objectChunks(held.chunks), blobUnits]
  const assembled = new Set<string>()
  return layers.map((layer) => {
    const seen = new Set(assembled)
    const plan = new Planner(layer, held.files, origins, seen).plan(limits)
    if (!('refused' in plan)) for (const identity of seen) assembled.add(identity)
    return plan
  })
}

/** Returns the sha256 of every file with content, and its size: what to look for in the store. */
export function wantedFiles(layers: readonly PartialLayer[]): Map<Digest, number> {
  const wanted = new Map<Digest, number>()
  for (const { index } of layers)
    for (const { entry, digests } of index.files) {
      const size = sizeOf(entry.content)
      if (digests.sha256 !== undefined && size > 0) wanted.set(digests.sha256, size)
    }
  return wanted
}

class Planner {
  readonly #layer: PartialLayer
  readonly #held: Held['files']
  readonly #origins: readonly Origin[]
  readonly #assembled: Set<string>
  readonly #files: (FilePlan | undefined)[] = []
  readonly #count = { heldFiles: 0, heldBytes: 0, sameBytes: 0, chunkBytes: 0, zeroBytes: 0, missingBytes: 0 }
  #missingFiles = 0
  #broken = false

  constructor(layer: PartialLayer, held: Held['files'], origins: readonly Origin[], assembled: Set<string>) {
    this.#layer = layer
    this.#held = held
    this.#origins = origins
    this.#assembled = assembled
  }

  plan(limits: PlanLimits): Planned {
    const { index } = this.#layer
    if (index.files.length > limits.layerEntries) return { refused: `it has more than ${limits.layerEntries} entries` }
    for (const file of index.files) this.#files.push(this.#file(file))
    if (this.#broken) return { refused: 'its chunks do not add up to its files' }
    const order = this.#order()
    const walk = new UnitWalk(index)
    for (const file of order)
      for (const piece of piecesOf(this.#files[file])) if (isMissing(piece)) walk.visit(piece.extent)
    if (walk.refused !== undefined) return { refused: walk.refused }
    const { heldBytes, sameBytes, chunkBytes, zeroBytes, missingBytes } = this.#count
    const content = heldBytes + sameBytes + chunkBytes + zeroBytes + missingBytes
    if (Math.max(content, walk.decodedBytes) > limits.layerBytes)
      return { refused: `it unfolds to more than ${limits.layerBytes} bytes` }
    if (walk.isScattered(missingBytes)) return { refused: 'its files are too scattered over its parts' }
    return this.#finish(order, walk.spans())
  }

  #finish(order: readonly number[], spans: readonly (readonly ByteSpan[])[]): LayerPlan {
    const requests = spans.flatMap((ofBlob, i) => {
      const blob = this.#layer.index.blobs[i]
      return blob === undefined ? [] : requestsFor(ofBlob).map(({ start, end }) => ({ blob, start, end }))
    })
    return {
      ...this.#layer,
      files: this.#files,
      order,
      requests,
      count: {
        ...this.#count,
        missingFiles: this.#missingFiles,
        unitBytes: spans.reduce((sum, ofBlob) => sum + spanBytes(ofBlob), 0),
        fetchBytes: spanBytes(requests),
        requests: requests.length,
      },
    }
  }

  #file(file: IndexedFile): FilePlan | undefined {
    const size = sizeOf(file.entry.content)
    if (size === 0) return undefined
    const held = file.digests.sha256 === undefined ? undefined : this.#held.get(file.digests.sha256)
    if (held !== undefined) {
      this.#count.heldFiles++
      this.#count.heldBytes += size
      return { kind: 'held', file: held }
    }
    const identity = identityOf(file.digests)
    if (identity !== undefined) {
      if (this.#assembled.has(identity)) {
        this.#count.sameBytes += size
        return { kind: 'same' }
      }
      this.#assembled.add(identity)
    }
    if (!addUp(file.extents, size)) this.#broken = true
    return { kind: 'assemble', pieces: this.#pieces(file) }
  }

  #pieces({ extents }: IndexedFile): Piece[] {
    const before = this.#count.missingBytes
    const pieces: Piece[] = []
    for (const extent of extents) {
      const piece = findPiece(extent, this.#origins)
      if (piece === undefined) throw new Error('an extent is a hole or lies in a unit')
      this.#count[piece.origin.counts] += extent.length
      pieces.push(piece)
    }
    if (this.#count.missingBytes > before) this.#missingFiles++
    return pieces
  }

  /** Orders files by the first unit that they need; files that need none come as they stand in the index. */
  #order(): number[] {
    const indices = [...this.#files.keys()].filter((index) => this.#files[index]?.kind === 'assemble')
    const units = new Map(indices.map((index) => [index, firstUnit(this.#files[index])]))
    return indices.toSorted((a, b) => (units.get(a) ?? 0) - (units.get(b) ?? 0) || a - b)
  }
}

function addUp(extents: readonly Extent[], size: number): boolean {
  let end = 0
  for (const { offset, length } of extents) {
    if (offset !== end || length <= 0) return false
    end += length
  }
  return end === size
}

function piecesOf(plan: FilePlan | undefined): readonly Piece[] {
  return plan?.kind === 'assemble' ? plan.pieces : []
}

function isMissing({ origin }: Piece): boolean {
  return origin.counts === 'missingBytes'
}

function firstUnit(plan: FilePlan | undefined): number {
  return piecesOf(plan).find(isMissing)?.extent.unit ?? -1
}
