import { type Stats, lstatSync, readdirSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { errnoOf, hasCode } from '../../error.ts'
import { fileError, listFolders } from '../store-files.ts'
import { type DigestFolder, digestOfName, digestPath } from '../store-layout.ts'
import { DiskReader } from '../usage/disk-reader.ts'
import type { GarbageFile } from './garbage-file.ts'
import { GarbageObjects } from './garbage-objects.ts'
import type { GarbagePlan, SmallKind } from './garbage-plan.ts'
import type { Marks } from './marks.ts'

/** Finds the files that nothing needs: those that are neither marked nor young. */
export class GarbageSearch {
  readonly #root: string
  readonly #marks: Marks
  /** Milliseconds since 1970: files that are younger stay. */
  readonly #keptSince: number | undefined
  readonly #disk: DiskReader

  constructor(root: string, marks: Marks, keptSince: number | undefined) {
    this.#root = root
    this.#marks = marks
    this.#keptSince = keptSince
    this.#disk = new DiskReader(root)
  }

  /** Marks what is needed now; each time, what has become needed since is marked as well. */
  mark(): void {
    this.#marks.markAll()
    this.#markYoung()
  }

  /** Finds everything that is garbage by the marks there are. */
  async plan(signal: AbortSignal | undefined): Promise<GarbagePlan> {
    const objects = new GarbageObjects()
    for (const folder of foldersOf(this.#root, 'objects')) {
      for (const file of this.#files('objects', folder)) objects.push(file)
      await nextTurn()
      signal?.throwIfAborted()
    }
    const [records, images] = [this.find('records'), this.find('images')]
    const [layers, blobs] = [this.find('layers'), this.find('blobs')]
    return { records, images, layers, blobs, objects }
  }

  find(kind: SmallKind): GarbageFile[] {
    return foldersOf(this.#root, kind).flatMap((folder) => [...this.#files(kind, folder)])
  }

  *#files(kind: DigestFolder, folder: string): Generator<GarbageFile> {
    for (const digest of this.#unmarked(kind, folder)) {
      const file = this.#look(kind, digest)
      if (file !== undefined) yield file
    }
  }

  /** Digests of files in a folder. Those whose names are none of ours are left to fsck. */
  #unmarked(kind: DigestFolder, folder: string): string[] {
    const digests: string[] = []
    for (const name of namesIn(`${this.#root}/${kind}/${folder}`)) {
      const digest = digestOfName(kind, folder === '' ? name : `${folder}/${name}`)
      if (digest !== undefined && !this.#marks.has(kind, digest)) digests.push(digest)
    }
    return digests
  }

  /** Looks at a file; undefined when it is gone, or young. */
  #look(kind: DigestFolder, digest: string): GarbageFile | undefined {
    const path = digestPath(this.#root, kind, digest)
    try {
      const stat = lstatSync(path, { throwIfNoEntry: false })
      if (stat === undefined || this.#isYoung(stat)) return undefined
      return { digest, size: stat.size, ...this.#disk.freedBy(path, stat) }
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined
      throw fileError('look at', path, error)
    }
  }

  #isYoung(stat: Stats): boolean {
    return this.#keptSince !== undefined && stat.mtimeMs > this.#keptSince
  }

  /** Marks what is young with what it needs, however old that is. */
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
