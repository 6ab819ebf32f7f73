import { type Stats, lstatSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import { parseVerityDigest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { asidePath, kinds, putBack } from './aside.ts'
import { changeGeneration } from '../transaction/commit-transaction.ts'
import { isAlive, listOwned } from '../transaction/dead-folders.ts'
import { fileError } from '../store-files.ts'
import type { Freed } from './freed.ts'
import { type DigestFolder, digestOfName, digestPath, tmpFolder } from '../store-layout.ts'
import { type Marks, isInUse } from './marks.ts'
import { listFolder, listFolders } from '../records/record-files.ts'

/**
 * Files that are aside at a time. Their names fit into the one block that `tmp/` has anyway, so that a full disk is no
 * obstacle; and reading the holds of the living between costs little beside them.
 */
const handful = 32

interface AsideFile {
  readonly digest: string
  readonly stat: Stats
}

/** The deleting part of a garbage collection; gc.ts says in which order, under which lock, and why that is safe. */
export class Sweep {
  readonly #root: string
  readonly #marks: Marks
  readonly #freed: Freed
  /** Milliseconds since 1970: files that are younger stay. */
  readonly #keptSince: number | undefined
  /** Fan-out folders of objects still to be looked at, and what is left of the one being looked at. */
  #fanOut: string[] | undefined
  #folder: { readonly path: string; readonly digests: string[] } | undefined

  #isGenerationOld = false
  /** There is no living transaction, and as long as we have the lock there will be none. */
  #isAlone = false

  constructor(root: string, marks: Marks, freed: Freed, keptSince: number | undefined) {
    this.#root = root
    this.#marks = marks
    this.#freed = freed
    this.#keptSince = keptSince
  }

  mark(): void {
    this.#marks.markAll()
    this.#markYoung()
  }

  /** Of a slice: the caller has got the lock. */
  begin(): void {
    this.mark()
    this.#isAlone = !listOwned(this.#root).some(isAlive)
    this.#changeGeneration()
    removeLeftovers(this.#root)
  }

  /** The generation still has to change: btrfs takes a block for it, which there may not have been. */
  get isGenerationOld(): boolean {
    return this.#isGenerationOld
  }

  /** Of a slice: the caller gives the lock away next. */
  end(): void {
    if (!this.#isGenerationOld) return
    changeGeneration(this.#root)
    this.#isGenerationOld = false
  }

  /** Counts what would go. */
  plan(): void {
    for (const kind of kinds)
      for (const folder of foldersOf(this.#root, kind))
        for (const digest of this.#unmarked(kind, folder)) {
          const stat = this.#stat(kind, digest)
          if (stat !== undefined) this.#freed.add(kind, digestPath(this.#root, kind, digest), stat)
        }
  }

  /** Everything but objects; true when something went. */
  small(): boolean {
    let removed = 0
    for (const kind of kinds) {
      if (kind === 'objects') continue
      for (const folder of foldersOf(this.#root, kind)) {
        const digests = this.#unmarked(kind, folder)
        while (digests.length > 0) removed += this.#remove(kind, digests)
      }
    }
    return removed > 0
  }

  /** Objects, until it is `end` by performance.now(); true when all have been looked at. */
  objects(end: number): boolean {
    this.#fanOut ??= foldersOf(this.#root, 'objects')
    for (;;) {
      if (this.#folder === undefined) {
        const folder = this.#fanOut.pop()
        if (folder === undefined) return true
        this.#folder = { path: folder, digests: this.#unmarked('objects', folder) }
      }
      const { path, digests } = this.#folder
      let removed = 0
      while (digests.length > 0) {
        if (performance.now() >= end) return false
        removed += this.#remove('objects', digests)
      }
      if (removed > 0) removeEmpty(`${this.#root}/objects/${path}`)
      this.#folder = undefined
    }
  }

  /** Files whose names are none of ours are left to fsck. */
  #unmarked(kind: DigestFolder, folder: string): string[] {
    const digests: string[] = []
    for (const name of namesIn(`${this.#root}/${kind}/${folder}`)) {
      const digest = digestOfName(kind, folder === '' ? name : `${folder}/${name}`)
      if (digest !== undefined && !this.#marks.has(kind, digest)) digests.push(digest)
    }
    return digests
  }

  /** Takes a handful off the list; returns how many files are gone. */
  #remove(kind: DigestFolder, digests: string[]): number {
    return this.#isAlone && kind !== 'images' ? this.#removeAtOnce(kind, digests) : this.#removeAside(kind, digests)
  }

  /** Nobody holds anything: half the work. */
  #removeAtOnce(kind: DigestFolder, digests: string[]): number {
    let removed = 0
    for (const digest of digests.splice(-handful)) {
      const stat = this.#marks.has(kind, digest) ? undefined : this.#stat(kind, digest)
      if (stat === undefined) continue
      this.#delete(kind, digestPath(this.#root, kind, digest), stat)
      removed++
    }
    return removed
  }

  #removeAside(kind: DigestFolder, digests: string[]): number {
    const aside: AsideFile[] = []
    try {
      while (aside.length < handful) {
        const digest = digests.pop()
        if (digest === undefined) break
        const stat = this.#marks.has(kind, digest) ? undefined : this.#stat(kind, digest)
        if (stat === undefined) continue
        if (this.#putAside(kind, digest)) aside.push({ digest, stat })
        else if (aside.length === 0) return this.#removeWithoutRoom(kind, { digest, stat })
        else {
          digests.push(digest)
          break
        }
      }
      return this.#deleteUnclaimed(kind, aside)
    } catch (error) {
      this.#giveUp(kind, aside)
      throw error
    }
  }

  /** False when there is no room for another name. */
  #putAside(kind: DigestFolder, digest: string): boolean {
    const path = digestPath(this.#root, kind, digest)
    try {
      renameSync(path, asidePath(this.#root, kind, digest))
      return true
    } catch (error) {
      if (isNoRoom(error)) return false
      throw fileError('put aside', path, error)
    }
  }

  #deleteUnclaimed(kind: DigestFolder, aside: readonly AsideFile[]): number {
    this.#marks.markHolds()
    // Nobody can open them by name any more, so that an open file is a mount that came in time.
    if (kind === 'images')
      for (const { digest } of aside)
        if (isInUse(asidePath(this.#root, kind, digest))) this.#marks.markImage(parseVerityDigest(digest))
    const unclaimed = aside.filter(({ digest }) => !this.#marks.has(kind, digest))
    for (const { digest } of aside) if (this.#marks.has(kind, digest)) putBack(this.#root, kind, digest)
    this.#marks.walk()
    for (const { digest, stat } of unclaimed) this.#delete(kind, asidePath(this.#root, kind, digest), stat)
    return unclaimed.length
  }

  /**
   * A transaction that has found it already learns of it when it commits, since the generation changes afterwards. With
   * an image nobody can tell whether a mount was quicker, so that it stays for the next collection.
   */
  #removeWithoutRoom(kind: DigestFolder, { digest, stat }: AsideFile): number {
    if (kind === 'images') {
      this.#marks.markImage(parseVerityDigest(digest))
      this.#marks.walk()
      return 0
    }
    this.#delete(kind, digestPath(this.#root, kind, digest), stat)
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

  #delete(kind: DigestFolder, path: string, stat: Stats): void {
    try {
      this.#freed.add(kind, path, stat)
      unlinkSync(path)
    } catch (error) {
      throw fileError('delete', path, error)
    }
  }

  /** After an error; on a broken file system this fails as well, and is left to who comes next. */
  #giveUp(kind: DigestFolder, aside: readonly AsideFile[]): void {
    try {
      for (const { digest } of aside) putBack(this.#root, kind, digest)
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
    }
  }

  /** Undefined when it is gone, or young. */
  #stat(kind: DigestFolder, digest: string): Stats | undefined {
    const path = digestPath(this.#root, kind, digest)
    try {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      return stat === undefined || this.#isYoung(stat) ? undefined : stat
    } catch (error) {
      throw fileError('look at', path, error)
    }
  }

  #isYoung(stat: Stats): boolean {
    return this.#keptSince !== undefined && stat.mtimeMs > this.#keptSince
  }

  /** What is young keeps what it needs, however old that is. */
  #markYoung(): void {
    if (this.#keptSince === undefined) return
    for (const kind of ['records', 'layers', 'images'] as const)
      for (const digest of this.#unmarked(kind, '')) {
        const stat = lstatSync(digestPath(this.#root, kind, digest), { throwIfNoEntry: false })
        if (stat !== undefined && this.#isYoung(stat)) this.#marks.mark(kind, digest)
      }
    this.#marks.walk()
  }
}

function isNoRoom(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')
}

function foldersOf(root: string, kind: DigestFolder): string[] {
  return kind === 'objects' || kind === 'blobs' ? listFolders(`${root}/${kind}`) : ['']
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw fileError('list', path, error)
  }
}

/** An empty folder would cost the next commit one rename for each of its files. */
function removeEmpty(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw fileError('remove', path, error)
  }
}

/** Temporary files of tag commands that were killed: their owners would hold the lock. */
function removeLeftovers(root: string): void {
  for (const name of listFolder(`${root}/${tmpFolder}`))
    if (name.startsWith('ref-')) unlinkSync(`${root}/${tmpFolder}/${name}`)
}
