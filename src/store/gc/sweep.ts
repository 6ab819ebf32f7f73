import { renameSync, rmdirSync, unlinkSync } from 'node:fs'
import { parseVerityDigest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { fileError, listFolder } from '../store-files.ts'
import { type DigestFolder, digestPath, tmpFolder } from '../store-layout.ts'
import { changeGeneration } from '../transaction/commit-transaction.ts'
import { isAlive, listOwned } from '../transaction/dead-folders.ts'
import { asidePath, kinds, putBack } from './aside.ts'
import type { Freed } from './freed.ts'
import type { GarbageObjects } from './garbage-objects.ts'
import type { GarbageFile, GarbageFiles } from './garbage-file.ts'
import type { GarbageSearch } from './garbage-search.ts'
import { type Marks, isInUse } from './marks.ts'

/**
 * Number of files that are aside at a time. Their names fit into the one block that `tmp/` has anyway, so that a full
 * disk is no obstacle; and reading the holds of the living between costs little beside them.
 */
const handful = 32

export interface SweepParts {
  readonly root: string
  readonly marks: Marks
  readonly search: GarbageSearch
  /** The objects of the plan: those that were looked at are taken off. */
  readonly objects: GarbageObjects
  /** Counts what is deleted. */
  readonly freed: Freed
}

/**
 * The deleting part of a garbage collection; collect-garbage.ts says in which order, under which lock, and why that is
 * safe.
 */
export class Sweep {
  readonly #root: string
  readonly #marks: Marks
  readonly #search: GarbageSearch
  readonly #objects: GarbageObjects
  readonly #freed: Freed
  /** Folders of the fan-out that have lost objects, and may be empty when no more of theirs are left. */
  readonly #thinned = new Set<string>()
  #isGenerationOld = false
  /** Whether no transaction lives; as long as we have the lock, none will. */
  #isAlone = false

  constructor({ root, marks, search, objects, freed }: SweepParts) {
    this.#root = root
    this.#marks = marks
    this.#search = search
    this.#objects = objects
    this.#freed = freed
  }

  /** Begins a slice: the caller has got the lock. */
  begin(): void {
    this.#search.mark()
    this.#isAlone = !listOwned(this.#root).some(isAlive)
    this.#changeGeneration()
    removeLeftovers(this.#root)
  }

  /** Whether the generation still has to change: btrfs takes a block for it, which there may not have been. */
  get isGenerationOld(): boolean {
    return this.#isGenerationOld
  }

  /** Ends a slice: the caller gives the lock away next. */
  end(): void {
    if (!this.#isGenerationOld) return
    changeGeneration(this.#root)
    this.#isGenerationOld = false
  }

  /** Deletes everything but objects, also what has become garbage since the plan was made; true when something went. */
  small(): boolean {
    let removed = 0
    for (const kind of kinds) {
      if (kind === 'objects') continue
      const files = this.#search.find(kind)
      while (files.length > 0) removed += this.#remove(kind, files)
    }
    return removed > 0
  }

  /** Deletes objects of the plan, until it is `end` by performance.now(); true when all have been looked at. */
  objects(end: number): boolean {
    while (this.#objects.length > 0) {
      if (performance.now() >= end) return false
      this.#remove('objects', this.#objects)
      this.#removeEmptyFolders()
    }
    return true
  }

  /** Takes a handful off the list; returns how many files are gone. */
  #remove(kind: DigestFolder, files: GarbageFiles): number {
    return this.#isAlone && kind !== 'images' ? this.#removeAtOnce(kind, files) : this.#removeAside(kind, files)
  }

  /** Deletes without a detour, half the work: nobody holds anything. */
  #removeAtOnce(kind: DigestFolder, files: GarbageFiles): number {
    let removed = 0
    for (let tried = 0; tried < handful; tried++) {
      const file = files.pop()
      if (file === undefined) break
      if (this.#marks.has(kind, file.digest)) continue
      if (this.#delete(kind, digestPath(this.#root, kind, file.digest), file)) removed++
    }
    return removed
  }

  #removeAside(kind: DigestFolder, files: GarbageFiles): number {
    const aside: GarbageFile[] = []
    try {
      while (aside.length < handful) {
        const file = files.pop()
        if (file === undefined) break
        if (this.#marks.has(kind, file.digest)) continue
        const put = this.#putAside(kind, file)
        if (put === 'aside') aside.push(file)
        if (put !== 'no room') continue
        if (aside.length === 0) return this.#removeWithoutRoom(kind, file)
        files.push(file)
        break
      }
      return this.#deleteUnclaimed(kind, aside)
    } catch (error) {
      this.#giveUp(kind, aside)
      throw error
    }
  }

  /** Puts a file aside; `no room` when the disk has none for another name. */
  #putAside(kind: DigestFolder, { digest }: GarbageFile): 'aside' | 'gone' | 'no room' {
    const path = digestPath(this.#root, kind, digest)
    try {
      renameSync(path, asidePath(this.#root, kind, digest))
      this.#thin(kind, digest)
      return 'aside'
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return 'gone'
      if (isNoRoom(error)) return 'no room'
      throw fileError('put aside', path, error)
    }
  }

  #deleteUnclaimed(kind: DigestFolder, aside: readonly GarbageFile[]): number {
    this.#marks.markHolds()
    // Nobody can open them by name any more, so that an open file is a mount that came in time.
    if (kind === 'images')
      for (const { digest } of aside)
        if (isInUse(asidePath(this.#root, kind, digest))) this.#marks.markImage(parseVerityDigest(digest))
    const unclaimed = aside.filter(({ digest }) => !this.#marks.has(kind, digest))
    for (const { digest } of aside) if (this.#marks.has(kind, digest)) putBack(this.#root, kind, digest)
    this.#marks.walk()
    for (const file of unclaimed) this.#delete(kind, asidePath(this.#root, kind, file.digest), file)
    return unclaimed.length
  }

  /**
   * Deletes a file under its name. A transaction that has found it already learns of it when it commits, since the
   * generation changes afterwards. With an image nobody can tell whether a mount was quicker, so that it stays for the
   * next collection.
   */
  #removeWithoutRoom(kind: DigestFolder, file: GarbageFile): number {
    if (kind === 'images') {
      this.#marks.markImage(parseVerityDigest(file.digest))
      this.#marks.walk()
      return 0
    }
    this.#delete(kind, digestPath(this.#root, kind, file.digest), file)
    this.#isGenerationOld = true
    return 1
  }

  #changeGeneration(): void {
    try {
      changeGeneration(this.#root)
    } catch (error) {
      if (!isNoRoom(error instanceof OnefoldError ? error.cause : error)) throw error
      this.#isGenerationOld = true
    }
  }

  /** Deletes and counts a file; false when it is gone already. */
  #delete(kind: DigestFolder, path: string, file: GarbageFile): boolean {
    try {
      unlinkSync(path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw fileError('delete', path, error)
    }
    this.#freed.add(kind, file)
    this.#thin(kind, file.digest)
    return true
  }

  /** Puts everything back after an error; on a broken file system this fails as well, and is left to who comes next. */
  #giveUp(kind: DigestFolder, aside: readonly GarbageFile[]): void {
    try {
      for (const { digest } of aside) putBack(this.#root, kind, digest)
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
    }
  }

  #thin(kind: DigestFolder, digest: string): void {
    if (kind === 'objects') this.#thinned.add(digest.slice(0, 2))
  }

  /** Removes folders that have become empty: each would cost the next commit one rename for each of its files. */
  #removeEmptyFolders(): void {
    for (const folder of this.#thinned) {
      if (folder === this.#objects.lastFolder) continue
      removeEmpty(`${this.#root}/objects/${folder}`)
      this.#thinned.delete(folder)
    }
  }
}

function isNoRoom(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw fileError('remove', path, error)
  }
}

/** Removes temporary files of tag commands that were killed: their owners would hold the lock. */
function removeLeftovers(root: string): void {
  for (const name of listFolder(`${root}/${tmpFolder}`))
    if (name.startsWith('ref-')) unlinkSync(`${root}/${tmpFolder}/${name}`)
}
