import type { DigestFolder } from '../store-layout.ts'
import type { DiskBytes } from '../usage/disk-reader.ts'
import type { GarbageObjects } from './garbage-objects.ts'

/** A file that nothing needs, and what deleting it frees. */
export interface GarbageFile extends DiskBytes {
  /** Of the kind that its folder has. */
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

/** There are few enough of them to be looked for again whenever the lock is taken. */
export type SmallKind = Exclude<DigestFolder, 'objects'>

/** What a collection would delete: found once, without a lock. A dry run tells it, and a collection takes objects off it. */
export interface GarbagePlan extends Readonly<Record<SmallKind, GarbageFiles>> {
  readonly objects: GarbageObjects
}
