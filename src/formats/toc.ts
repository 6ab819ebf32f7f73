/**
 * A layer whose table of contents is known before its bytes: the one shape in which eStargz, zstd:chunked, stargz' zstd
 * dialect and SOCI are planned, fetched and checked (src/transfer/partial).
 *
 * Two levels, since what can be decoded alone and what a file needs are different things: a *unit* is the smallest range
 * of the blob that a decoder can start at (a gzip member, zstd frames, a SOCI span); a *chunk* is a range of one file and
 * says in which unit its bytes lie. Several chunks may share a unit; a file may take several units.
 */
import type { Digest } from '../digest.ts'
import type { Entry } from './entry.ts'

export interface TocLayer {
  /** Which table it came from; part of what `inspect` and errors say. */
  readonly format: TocFormat
  /**
   * In the order of the tar. Files with content are `unknown` with their size, whatever their length; what a format adds
   * for itself (TOC, landmarks) is in `own` instead.
   */
  readonly files: readonly TocFile[]
  /** In order of `start`. */
  readonly units: readonly Unit[]
  /** How the files were cut, so that files already in the store can be cut alike. */
  readonly chunking: Chunking
  /** Where to find what rebuilds the tar bit for bit, where the format has that. */
  readonly tarSplit?: TarSplitPlace
}

export type TocFormat = 'estargz' | 'zstd-chunked' | 'stargz-zstd' | 'soci'

export type Chunking =
  | { readonly kind: 'fixed'; readonly size: number }
  | { readonly kind: 'rollsum' }
  /** Chunks say nothing about content: no digest of uncompressed bytes. */
  | { readonly kind: 'none' }

export interface TocFile {
  readonly entry: Entry
  /** sha256 of the whole content; undefined for what is no file, for empty files, and where the format has none. */
  readonly digest: Digest | undefined
  /** Ascending and without gaps from 0 to the file's size; none for what is empty or no file. */
  readonly chunks: readonly TocChunk[]
}

export interface TocChunk {
  /** Within the file. */
  readonly offset: number
  readonly length: number
  /** sha256 of these bytes; undefined where the format has none (SOCI). */
  readonly digest: Digest | undefined
  /** Index into `units`; undefined: a hole, all zeros, nothing to fetch. */
  readonly unit: number | undefined
  /** Where the chunk begins in what the unit decodes to. */
  readonly skip: number
}

export interface Unit {
  /** First byte in the blob, and the first byte behind it. */
  readonly start: number
  readonly end: number
  readonly coding: Coding
  /** sha256 of the bytes from start to end as they lie in the blob (SOCI). */
  readonly digest?: Digest
}

export type Coding =
  | { readonly kind: 'gzip' }
  | { readonly kind: 'zstd' }
  | { readonly kind: 'stored' }
  /** Raw deflate from the middle of a stream: `bits` of the first byte belong to it (0: all of the first byte). */
  | { readonly kind: 'deflate'; readonly bits: number; readonly window: Uint8Array; readonly endsAt: number }

/** A compressed part of the blob beside the table, bound by it: `digest` is of the compressed bytes. */
export interface TarSplitPlace {
  readonly start: number
  readonly end: number
  readonly size: number
  readonly digest: Digest
}
