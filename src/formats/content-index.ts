/**
 * What every format with a table or an index becomes: which files there are, and where in which blobs their bytes lie. A
 * pull, a plan, a repair by range and a lazy open all go by it (src/content, src/transfer/fetch).
 *
 * Two levels, since what can be decoded alone and what a file needs are different things: a *unit* is the smallest range
 * of a blob that a decoder can start at (a gzip member, zstd frames, a SOCI span); an *extent* is a range of one file and
 * says in which unit its bytes lie. Several extents may share a unit; a file may take several units.
 */
import type { Coding } from '../codecs/coding.ts'
import type { ContentDigests } from './content-digests.ts'
import type { Entry } from './entry.ts'
import type { Descriptor } from './oci/descriptor.ts'

export interface ContentIndex {
  /** Name of the format that it was read by; part of what `inspect` and errors say. */
  readonly format: string
  /** What the entries are: one layer, with its whiteouts, or the whole tree of an image. */
  readonly scope: 'layer' | 'image'
  /** Whether a digest in the manifest binds the index; without one, it is only what somebody says of the blobs. */
  readonly bound: boolean
  /** Blobs that units lie in. */
  readonly blobs: readonly Descriptor[]
  /** Sorted by blob, then by `start`. */
  readonly units: readonly Unit[]
  /**
   * In the order of the layer, no name twice. Files with content are `unknown` with their size, whatever their length;
   * what a format adds to a layer for itself is left out.
   */
  readonly files: readonly IndexedFile[]
  /** How files were cut, so that files already in the store can be cut alike. */
  readonly chunking: Chunking
  /** What rebuilds the layer's tar bit for bit, where the format has that; checked against `files`. */
  readonly tarSplit?: TarSplit
}

export type Chunking =
  | { readonly kind: 'fixed'; readonly size: number }
  | { readonly kind: 'rollsum' }
  /** Extents say nothing about content: they have no digests of uncompressed bytes. */
  | { readonly kind: 'none' }

export interface IndexedFile {
  readonly entry: Entry
  /** Digests of the whole content. */
  readonly digests: ContentDigests
  /** Ascending and without gaps from 0 to the file's size; none for what is empty or no file. */
  readonly extents: readonly Extent[]
}

export interface Extent {
  /** First byte within the file. */
  readonly offset: number
  readonly length: number
  /** Digests of these bytes alone. */
  readonly digests: ContentDigests
  /** Index into `units`; undefined: a hole, all zeros, nothing to fetch. */
  readonly unit: number | undefined
  /** Where the extent begins in what the unit decodes to. */
  readonly skip: number
}

export interface Unit {
  /** Index into `blobs`. */
  readonly blob: number
  /** First byte in the blob, and the first byte behind it. */
  readonly start: number
  readonly end: number
  readonly coding: Coding
  /** Digests of the bytes from start to end as they lie in the blob (SOCI, OverlayBD). */
  readonly digests: ContentDigests
}

/** A tar without the contents of its files, as a recipe can be made of it. */
export interface TarSplit {
  /** Every byte of the tar that is no file content, in order. */
  readonly framing: Uint8Array
  /** The files with content, in order. */
  readonly bodies: readonly SplitBody[]
  /** Bytes of the whole tar. */
  readonly tarSize: number
}

/** The whole content of `files[file]` stands in the tar before byte `at` of the framing. */
export interface SplitBody {
  readonly at: number
  readonly file: number
}
