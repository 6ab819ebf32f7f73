import type { Descriptor } from '../formats/oci/descriptor.ts'

/** Bytes of a blob, from `start` on. */
export interface BlobPart {
  readonly start: number
  readonly bytes: Uint8Array
}

/** Source of parts of blobs: a scheduler of requests, a registry, a file. */
export interface RangeSource {
  /**
   * Returns a part of the blob that has byte `at`, and as many of those up to `end` as come with it at once: more when
   * they were asked for already, fewer when a part ends before. The bytes are the caller's to keep.
   */
  fetch(blob: Descriptor, at: number, end: number): Promise<BlobPart>
}
