import type { DigestFolder } from '../store-layout.ts'
import type { GarbageFiles } from './garbage-file.ts'
import type { GarbageObjects } from './garbage-objects.ts'

/** Kinds of which there are few enough to be looked for again whenever the lock is taken. */
export type SmallKind = Exclude<DigestFolder, 'objects'>

/**
 * The files that a collection would delete, found once, without a lock. A dry run tells it, and a collection takes
 * objects off it.
 */
export interface GarbagePlan extends Readonly<Record<SmallKind, GarbageFiles>> {
  readonly objects: GarbageObjects
}
