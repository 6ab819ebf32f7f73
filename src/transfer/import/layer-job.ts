import type { Digest, DiffId, RecipeDigest } from '../../digest.ts'
import { OnefoldError, type Code } from '../../error.ts'
import type { FileRange } from '../../sources/source.ts'
import type { RingMemory } from '../../threads/ring.ts'

/** What the threads of a lane are told once, when they start. */
export interface LaneSetup {
  readonly threads: 1 | 2
  /** Inflated bytes, from the inflating to the importing thread; a lane of one thread uses its memory alone. */
  readonly inflated: RingMemory
  /** Blob bytes, from the main to the inflating thread, when they come from the network. */
  readonly fetched: RingMemory
  /** BigInt64[1]: bytes of the current blob that have been taken in. */
  readonly progress: SharedArrayBuffer
  /** Where objects are staged. */
  readonly storeRoot: string
  readonly transaction: string
  readonly name: string
}

/** One layer to import. */
export interface LayerJob {
  readonly blob: Digest
  readonly blobSize: number
  readonly diffId: DiffId
  /** The local file the blob lies in, or undefined when the main thread feeds the `fetched` ring. */
  readonly file: FileRange | undefined
  readonly limits: ImportLimits
}

/** What a layer may at most unfold to; a blob of a few kilobytes can claim to hold petabytes. */
export interface ImportLimits {
  /** Bytes of one layer's uncompressed tar. */
  readonly layerBytes: number
  /** Entries in one layer. */
  readonly layerEntries: number
  /** Largest zstd window, as a power of two: memory that one decoder may take. */
  readonly zstdWindowLog: number
}

export const defaultLimits: ImportLimits = {
  layerBytes: 64 * 2 ** 30,
  layerEntries: 10_000_000,
  zstdWindowLog: 27,
}

/** What became of a layer. */
export interface LayerResult {
  readonly recipe: RecipeDigest
  /** The recipe itself, uncompressed. */
  readonly recipeBytes: Uint8Array
  readonly files: number
  readonly blobBytes: number
  readonly tarBytes: number
  /** Objects that were not in the store yet, and their bytes. */
  readonly newObjects: number
  readonly newBytes: number
}

/** An error on its way between threads, where classes do not survive. */
export interface ErrorMessage {
  readonly code: Code | undefined
  readonly message: string
  readonly hint: string | undefined
  readonly stack: string | undefined
}

export function packError(error: unknown): ErrorMessage {
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  const ours = error instanceof OnefoldError ? error : undefined
  return { code: ours?.code, hint: ours?.hint, message, stack }
}

export function unpackError(packed: ErrorMessage): Error {
  const { code, message, hint, stack } = packed
  if (code !== undefined) return new OnefoldError(code, message, hint === undefined ? {} : { hint })
  const error = new Error(message)
  if (stack !== undefined) error.stack = stack
  return error
}

export type ThreadReply<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly error: ErrorMessage }
  /** This side only stopped because the other gave up. */
  | { readonly kind: 'aborted' }
