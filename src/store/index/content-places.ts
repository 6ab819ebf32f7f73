import type { Digest, VerityDigest } from '../../digest.ts'

/** A file that the store holds. */
export type HeldFile =
  | { readonly kind: 'object'; readonly object: VerityDigest }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }

/** The place of a chunk's bytes in an object of the store. */
export interface ChunkPlace {
  readonly object: VerityDigest
  readonly offset: number
  readonly length: number
}

/** A file that is not in the store, of which another version may be. */
export interface WantedChunks {
  /** Path as in a layer: without a slash in front. */
  readonly path: string
  readonly size: number
  /** Digests of its chunks. */
  readonly digests: readonly Digest[]
}
