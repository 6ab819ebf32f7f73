import type { LayerKind } from '../formats/layer-kind.ts'
import type { AbortOptions } from '../abort.ts'
import { type Digest, isDigest } from '../digest.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'

/** Place that an image's bytes come from: a registry, a layout, an archive, a directory. */
export interface Source {
  /** Name as the user wrote it, for a record's origin. */
  readonly name: string
  /** Kind of the layers: 'plain' sources are trees, not layers, and whiteout names in them are data. */
  readonly kind: LayerKind
  /** Kinds of the layers, the lowest first, where they are not all the same. */
  readonly kinds?: readonly LayerKind[]
  /** Returns the top manifest or index, bytes as served; checked against the digest when one was asked for. */
  resolve(options?: AbortOptions): Promise<Artifact>
  /** Returns a nested manifest or a config: small, whole, verified against the descriptor's digest and size. */
  fetch(descriptor: Descriptor, options?: AbortOptions): Promise<Uint8Array>
  /**
   * Yields the bytes of a blob in order, from `offset` to exactly `end`, NOT verified: the reader hashes them. Broken
   * connections are resumed behind the scenes. Chunks have any size above 0.
   */
  blob(descriptor: Descriptor, options?: BlobOptions): AsyncIterable<Uint8Array>
  /**
   * Returns another document of the same repository or layout that goes with the image; undefined when there is none.
   */
  related?(what: Related, options?: AbortOptions): Promise<Artifact | undefined>
  /** Returns the blob's range of a local file, when it lies in one: an importing thread can then read it itself. */
  blobFile?(descriptor: Descriptor): Promise<FileRange | undefined>
  [Symbol.asyncDispose](): Promise<void>
}

export type Related =
  /** Manifest of this digest. */
  | { readonly digest: Digest }
  /** Manifest whose tag is the image's own with this behind it. */
  | { readonly tagSuffix: string }
  /** Index of the manifests whose subject is the one of this digest. */
  | { readonly referrersOf: Digest }

export interface BlobOptions extends AbortOptions {
  /** First byte wanted, 0 … descriptor.size; default 0. */
  readonly offset?: number | undefined
  /** First byte that is not wanted, `offset` … descriptor.size; default descriptor.size. */
  readonly end?: number | undefined
  /**
   * Throws UNSUPPORTED rather than be sent other bytes than these: a caller that wants a part is not served by the
   * whole.
   */
  readonly exact?: boolean | undefined
  /**
   * Lets chunks be good only until the next one is asked for; by default they are the reader's to keep. A source may
   * then use its buffers again, which makes reading several times cheaper.
   */
  readonly lent?: boolean | undefined
}

/** Small document as served, with the descriptor that its bytes have. */
export interface Artifact {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array
}

/** `length` bytes at `offset` of the file `path`. */
export interface FileRange {
  readonly path: string
  readonly offset: number
  readonly length: number
}

/**
 * Largest manifest, index or config; larger ones are refused before they are read (the distribution spec's own floor).
 */
export const documentMax = 4 * 1024 * 1024

/** Returns the tag under which registries without the referrers API keep that index (distribution-spec 1.1). */
export function referrersTag(digest: Digest): string {
  return digest.replace(':', '-')
}

/** Says whether a tag is such a one, and no name of an image. */
export function isReferrersTag(tag: string): boolean {
  return isDigest(tag.replace('-', ':'))
}
