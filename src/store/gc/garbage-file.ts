import type { DiskBytes } from '../usage/disk-reader.ts'

/** A file that nothing needs, and what deleting it frees. */
export interface GarbageFile extends DiskBytes {
  /** Digest of the kind that its folder has. */
  readonly digest: string
  /** Bytes of the file. */
  readonly size: number
}

/** Files to be deleted, the last one first. */
export interface GarbageFiles extends Iterable<GarbageFile> {
  readonly length: number
  push(file: GarbageFile): void
  pop(): GarbageFile | undefined
}
