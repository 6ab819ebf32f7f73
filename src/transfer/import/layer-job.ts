import type { Digest, DiffId, RecipeDigest } from '../../digest.ts'
import type { FileRange } from '../../sources/source.ts'
import type { StagingPlace } from '../../store/transaction/staging.ts'
import type { RingMemory } from '../../threads/ring.ts'

/** Setup of a lane's threads, passed to them when they start. */
export interface LaneSetup {
  readonly threads: 1 | 2
  /** Ring of inflated bytes, from the inflating to the importing thread; a lane of one thread uses its memory alone. */
  readonly inflated: RingMemory
  /** Ring of blob bytes, from the main to the inflating thread, when they come from the network. */
  readonly fetched: RingMemory
  /** BigInt64[1]: number of bytes of the current blob that have been taken in. */
  readonly progress: SharedArrayBuffer
  /** Place in which objects and recipes are staged. */
  readonly place: StagingPlace
}

/** One layer to import. */
export interface LayerJob {
  readonly blob: Digest
  readonly blobSize: number
  readonly diffId: DiffId
  /** Local file that the blob lies in, or undefined when the main thread feeds the `fetched` ring. */
  readonly file: FileRange | undefined
  readonly limits: ImportLimits
}

/** Limits on what a layer may unfold to; a blob of a few kilobytes can claim to hold petabytes. */
export interface ImportLimits {
  /** Size of one layer's uncompressed tar, in bytes. */
  readonly layerBytes: number
  /** Number of entries in one layer. */
  readonly layerEntries: number
  /** Largest zstd window, as a power of two: memory that one decoder may take. */
  readonly zstdWindowLog: number
}

export const defaultLimits: ImportLimits = {
  layerBytes: 64 * 2 ** 30,
  layerEntries: 10_000_000,
  zstdWindowLog: 27,
}

/** Result of importing a layer. */
export interface LayerResult {
  readonly recipe: RecipeDigest
  /** Bytes of the recipe, uncompressed. */
  readonly recipeBytes: Uint8Array
  readonly files: number
  readonly blobBytes: number
  readonly tarBytes: number
  /** Number of objects that were not in the store yet. */
  readonly newObjects: number
  /** Total size of those objects, in bytes. */
  readonly newBytes: number
}
