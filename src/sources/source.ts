import type { LayerKind } from '../formats/layer-kind.ts'
import type { AbortOptions } from '../abort.ts'
import type { Digest } from '../digest.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'

/** Where an image's bytes come from: a registry, a layout, an archive, a directory. */
export interface Source {
  /** As the user wrote it; what a record's origin says. */
  readonly name: string
  /** 'plain' sources are trees, not layers: whiteout names in them are data. */
  readonly kind: LayerKind
  /** Of each layer, the lowest first, where they are not all of one kind. */
  readonly kinds?: readonly LayerKind[]
  /** The top manifest or index, bytes as served; checked against the digest when one was asked for. */
  resolve(options?: AbortOptions): Promise<Artifact>
  /** A nested manifest or a config: small, whole, verified against the descriptor's digest and size. */
  fetch(descriptor: Descriptor, options?: AbortOptions): Promise<Uint8Array>
  /**
   * The bytes of a blob in order, from `offset` to exactly `end`, NOT verified: the reader hashes them.
   * Broken connections are resumed behind the scenes. Chunks have any size above 0.
   */
  blob(descriptor: Descriptor, options?: BlobOptions): AsyncIterable<Uint8Array>
  /** What else the same repository or layout holds that goes with the image; undefined when there is no such thing. */
  related?(what: Related, options?: AbortOptions): Promise<Artifact | undefined>
  /** Where the blob lies as a range of a local file, when it does: lets an importing thread read it itself. */
  blobFile?(descriptor: Descriptor): Promise<FileRange | undefined>
  [Symbol.asyncDispose](): Promise<void>
}

export type Related =
  /** The manifest of this digest. */
  | { readonly digest: Digest }
  /** The manifest whose tag is the image's own with this behind it. */
  | { readonly tagSuffix: string }
  /** An index of the manifests whose subject is the one of this digest. */
  | { readonly referrersOf: Digest }

export interface BlobOptions extends AbortOptions {
  /** First byte wanted, 0 … descriptor.size; default 0. */
  readonly offset?: number | undefined
  /** First byte that is not wanted, `offset` … descriptor.size; default descriptor.size. */
  readonly end?: number | undefined
  /** UNSUPPORTED rather than be sent other bytes than these: who wants a part is not served by the whole. */
  readonly exact?: boolean | undefined
  /**
   * Chunks need only be good until the next one is asked for; default they are the reader's to keep. A source may then
   * use its buffers again, which makes reading several times cheaper.
   */
  readonly lent?: boolean | undefined
}

/** A small document as served, with the descriptor that its bytes have. */
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

/** Manifests, indexes and configs above this are refused before they are read (the distribution spec's own floor). */
export const documentMax = 4 * 1024 * 1024

/** The tag under which registries without the referrers API keep that index (distribution-spec 1.1). */
export function referrersTag(digest: Digest): string {
  return digest.replace(':', '-')
}
