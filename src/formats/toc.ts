/**
 * A layer whose table of contents is known before its bytes: the one shape in which eStargz, zstd:chunked, stargz' zstd
 * dialect and SOCI are planned, fetched and checked (src/transfer/fetch).
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
  /** Whether a digest in the manifest binds the table; without one, it is only what the blob says of itself. */
  readonly bound: boolean
  /**
   * In the order of the tar, no name twice. Files with content are `unknown` with their size, whatever their length; what
   * eStargz adds for itself (TOC, landmarks) is left out.
   */
  readonly files: readonly TocFile[]
  /** In order of `start`. */
  readonly units: readonly Unit[]
  /** How the files were cut, so that files already in the store can be cut alike. */
  readonly chunking: Chunking
  /** What rebuilds the tar bit for bit, where the format has that; checked against `files`. */
  readonly tarSplit?: TarSplit
}

export const tocFormats = ['estargz', 'zstd-chunked', 'stargz-zstd', 'soci'] as const
export type TocFormat = (typeof tocFormats)[number]

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
  /**
   * Gzip from the middle of a member: the highest `bits` bits of the first byte belong to it (0: all of the first byte),
   * and `window` is the output before it. Further members may follow.
   */
  | { readonly kind: 'deflate'; readonly bits: number; readonly window: Uint8Array }

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
