/**
 * Index that every format with a table or an index is read into: which files there are, and where in which blobs their
 * bytes lie. A pull, a plan, a repair by range and a lazy open all go by it (src/content, src/transfer/fetch).
 *
 * Two levels, since what can be decoded alone and what a file needs are different things: a *unit* is the smallest
 * range of a blob that a decoder can start at (a gzip member, zstd frames, a SOCI span); an *extent* is a range of one
 * file and says in which unit its bytes lie. Several extents may share a unit; a file may take several units.
 */
import type { Coding } from '../codecs/coding.ts'
import type { ContentDigests } from './content-digests.ts'
import type { Entry } from './entry.ts'
import type { Descriptor } from './oci/descriptor.ts'

export interface ContentIndex {
  /** Name of the format that it was read by, for `inspect` and errors. */
  readonly format: string
  /** Scope of the entries: one layer, with its whiteouts, or the whole tree of an image. */
  readonly scope: 'layer' | 'image'
  /** True when a digest in the manifest binds the index; without one, it is only what somebody says of the blobs. */
  readonly bound: boolean
  /** Blobs that units lie in. */
  readonly blobs: readonly Descriptor[]
  /** Units, sorted by blob, then by `start`. */
  readonly units: readonly Unit[]
  /**
   * Files in the order of the layer, no name twice. Those with content are `unknown` with their size, whatever their
   * length; files that a format adds to a layer for itself are left out.
   */
  readonly files: readonly IndexedFile[]
  /** Method by which files were cut, so that files already in the store can be cut alike. */
  readonly chunking: Chunking
  /** Rest of the layer's tar, to rebuild it bit for bit, where the format has that; checked against `files`. */
  readonly tarSplit?: TarSplit
}

export type Chunking =
  | { readonly kind: 'fixed'; readonly size: number }
  | { readonly kind: 'rollsum' }
  /** Extents without digests of uncompressed bytes: they say nothing about content. */
  | { readonly kind: 'none' }

export interface IndexedFile {
  readonly entry: Entry
  /** Digests of the whole content. */
  readonly digests: ContentDigests
  /** Extents, ascending and without gaps from 0 to the file's size; none for an empty file or another type. */
  readonly extents: readonly Extent[]
}

export interface Extent {
  /** Offset of the first byte within the file. */
  readonly offset: number
  readonly length: number
  /** Digests of these bytes alone. */
  readonly digests: ContentDigests
  /** Index into `units`; undefined for a hole, which is all zeros, with nothing to fetch. */
  readonly unit: number | undefined
  /** Offset of the extent in what the unit decodes to. */
  readonly skip: number
}

export interface Unit {
  /** Index into `blobs`. */
  readonly blob: number
  /** Offset of the first byte in the blob. */
  readonly start: number
  /** Offset of the first byte behind the unit. */
  readonly end: number
  readonly coding: Coding
  /** Digests of the bytes from start to end as they lie in the blob (SOCI, OverlayBD). */
  readonly digests: ContentDigests
}

/** Tar without the contents of its files, from which a recipe can be made. */
export interface TarSplit {
  /** Every byte of the tar that is no file content, in order. */
  readonly framing: Uint8Array
  /** Files with content, in order. */
  readonly bodies: readonly SplitBody[]
  /** Size of the whole tar, in bytes. */
  readonly tarSize: number
}

/** Place of a file in the framing: the whole content of `files[file]` stands in the tar before byte `at` of it. */
export interface SplitBody {
  readonly at: number
  readonly file: number
}
