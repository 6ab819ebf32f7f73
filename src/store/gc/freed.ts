import type { SharedExtent } from '../../linux/fiemap.ts'
import type { DigestFolder } from '../store-layout.ts'
import { type DiskBytes, bytesCovered } from '../usage/disk-reader.ts'
import type { GarbageFile } from './garbage-file.ts'
import type { GarbagePlan } from './garbage-plan.ts'
import { kinds } from './aside.ts'

export interface Removed {
  readonly count: number
  /** Bytes of the files. */
  readonly bytes: number
}

/** The sums over files that go, or would go. */
export interface FreedReport {
  readonly records: Removed
  readonly images: Removed
  readonly recipes: Removed
  readonly blobs: Removed
  readonly objects: Removed
  /** Bytes of all files above. */
  readonly bytes: number
  /**
   * Bytes that the file system gets back, those of dead transactions among them: whole blocks, and none that other hard
   * links or reflinks still use.
   */
  readonly freed: number
}

interface Sum {
  count: number
  bytes: number
}

/** Adds up what a collection deletes, or a plan says that it would. */
export class Freed {
  readonly #sums: Record<DigestFolder, Sum> = {
    records: { count: 0, bytes: 0 },
    images: { count: 0, bytes: 0 },
    layers: { count: 0, bytes: 0 },
    blobs: { count: 0, bytes: 0 },
    objects: { count: 0, bytes: 0 },
  }
  #own = 0
  readonly #shared: SharedExtent[] = []

  add(kind: DigestFolder, file: GarbageFile): void {
    const sum = this.#sums[kind]
    sum.count++
    sum.bytes += file.size
    this.addOther(file)
  }

  addPlan(plan: GarbagePlan): void {
    for (const kind of kinds) for (const file of plan[kind]) this.add(kind, file)
  }

  /** Adds what is none of the store's files: those of dead transactions. */
  addOther({ own, shared }: DiskBytes): void {
    this.#own += own
    for (const extent of shared) this.#shared.push(extent)
  }

  get report(): FreedReport {
    const { records, images, layers, blobs, objects } = this.#sums
    const bytes = Object.values(this.#sums).reduce((sum, each) => sum + each.bytes, 0)
    return { records, images, recipes: layers, blobs, objects, bytes, freed: this.#own + this.#sharedFreed() }
  }

  /**
   * Counts blocks that two deleted files shared as theirs alone; those of which one user was deleted are still used by
   * another one. Never too much, unless a third file outside of the garbage shares with two in it.
   */
  #sharedFreed(): number {
    return bytesCovered(this.#shared, 2)
  }
}
