import { randomUUID } from 'node:crypto'
import { closeSync, lstatSync, openSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Digest, parseRecipeDigest, parseVerityDigest } from '../digest.ts'
import { OnefoldError, errnoOf } from '../error.ts'
import { syncfsAsync } from '../linux/file.ts'
import { isOpenElsewhere } from '../linux/lock.ts'
import { removeDead, seizeDead } from './dead.ts'
import { fileError, makeFolder, writeFile } from './files.ts'
import { type DigestFolder, digestOfName, lockFile, tmpFolder } from './layout.ts'
import { lockStore, tryLockCollector } from './lock.ts'
import { Marks } from './marks.ts'
import { listFolder, listFolders } from './records.ts'
import { type AbortOptions, createFolder } from './transaction.ts'

/*
 * Garbage collection beside everything else. What is needed is marked without a lock; then, under the exclusive lock,
 *
 *   1  refs, mounts and holds are read again, and what they need is no candidate any more;
 *   2  the generation changes;
 *   3  candidates are put aside, from the top down: records, images, recipes, blobs, objects;
 *   4  holds are read once more, and what they need gets its name back, from the bottom up;
 *
 * and after the lock the rest is deleted. Nothing that is needed is lost, whatever comes between:
 *
 * - A commit or tag before 1 has a ref, which 1 sees. None can come between 1 and 4: they hold the lock shared. One that
 *   comes after 4 checks under the lock that what it names is there. It looks at records, blobs, recipes; objects of a
 *   recipe that is there are there, since 1 to 4 mark them with it, and 3 takes the recipe first.
 * - A transaction appends a hold, then looks the digest up. If the lookup came before 3, the hold came before 4, which
 *   puts the object back. If it came after 3, it finds nothing, and the transaction stages the object itself; when 4
 *   puts it back all the same (the hold was there in time), two equal files meet at commit, and the first stays.
 * - Whoever looked something up without a hold (a pull that found the whole image there) commits under another
 *   generation and checks again: BUSY instead of a ref to nothing.
 * - A mount opens its image first and keeps it open. If that was before 3 put the image aside, its lease is refused
 *   afterwards and it is put back with its objects, which are put aside only then; if after, the open fails.
 * - Killed before the end of 4: everything that was put aside gets its name back by the next transaction or collection
 *   that finds the dead folder. There is no other collection that could mark in between: they take turns for all of
 *   their time, and put back holds the same lock. Killed after: the folder is called `trash`, and is deleted.
 * - Power cut: deletion starts after a sync, so that nothing deleted can be needed by a ref whose removal was lost.
 */

export interface GcOptions extends AbortOptions {
  /** Only tell what would go. */
  readonly dryRun?: boolean | undefined
}

export interface Removed {
  readonly count: number
  /** Bytes of the files. */
  readonly bytes: number
}

export interface GcReport {
  readonly dryRun: boolean
  readonly records: Removed
  readonly images: Removed
  readonly recipes: Removed
  readonly blobs: Removed
  readonly objects: Removed
  /** Folders of transactions whose process has died. */
  readonly transactions: number
  /** Of all files above. */
  readonly bytes: number
}

/** Deletes what no ref, mount or living transaction needs. BUSY when another collection, or fsck, is at it. */
export async function collectGarbage(root: string, options: GcOptions = {}): Promise<GcReport> {
  using collecting = tryLockCollector(root)
  if (collecting === undefined)
    throw new OnefoldError('BUSY', `Cannot collect garbage in "${root}": another collection, or a check, is at it`)
  const dryRun = options.dryRun === true
  const dead = seizeDead(root)
  if (dryRun) for (const { lock } of dead) closeSync(lock)
  else await removeDead(root, dead, true)
  const marks = new Marks(root)
  markAll(root, marks)
  const candidates = unmarked(root, marks)
  if (dryRun) return report(candidates, dead.length, true)
  const gone = await condemn(root, marks, candidates, options.signal).catch((error: unknown) => {
    throw needingRoom(error)
  })
  return report(gone, dead.length, false)
}

/** What is put aside takes a few folders: on a file system without a free block there is no beginning. */
function needingRoom(error: unknown): unknown {
  if (!(error instanceof OnefoldError) || errnoOf(error.cause) !== 'ENOSPC') return error
  return new OnefoldError(error.code, error.message, {
    cause: error.cause,
    hint: 'A collection needs some room itself, 2 MB at most: make it by deleting another file of that file system.',
  })
}

/** In the order in which they are put aside. */
const kinds = ['records', 'images', 'layers', 'blobs', 'objects'] as const

interface StoreFile {
  readonly kind: DigestFolder
  /** Below the store: `objects/ab/cdef…`. */
  readonly path: string
  readonly digest: string
}

interface Candidate extends StoreFile {
  readonly bytes: number
}

function markAll(root: string, marks: Marks): void {
  marks.markRefs()
  marks.markMounts()
  marks.markHolds()
  for (const name of listFolder(`${root}/images`)) {
    const digest = digestOfName('images', name)
    if (digest === undefined || marks.images.has(parseVerityDigest(digest))) continue
    if (isInUse(`${root}/images/${name}`)) marks.markImage(parseVerityDigest(digest))
  }
}

/** A mount may have been made in another mount namespace and outlived every process we know of: only the lease tells. */
function isInUse(path: string): boolean {
  try {
    return isOpenElsewhere(Buffer.from(path).toString('latin1'))
  } catch (error) {
    if (error instanceof OnefoldError && error.code === 'NOT_FOUND') return false
    // Somebody else's file, or a file system without leases: nobody can tell.
    if (error instanceof OnefoldError) return true
    throw error
  }
}

function unmarked(root: string, marks: Marks): Candidate[] {
  return kinds.flatMap((kind) =>
    [...filesOf(root, kind)]
      .filter((file) => !isMarked(marks, file))
      .map((file) => ({ ...file, bytes: lstatSync(`${root}/${file.path}`, { throwIfNoEntry: false })?.size ?? 0 })),
  )
}

/** Files whose names are none of ours are left to fsck. */
function* filesOf(root: string, kind: DigestFolder): Generator<StoreFile> {
  const hasFanOut = kind === 'objects' || kind === 'blobs'
  for (const folder of hasFanOut ? listFolders(`${root}/${kind}`) : ['']) {
    const prefix = hasFanOut ? `${folder}/` : ''
    for (const name of listFolder(`${root}/${kind}/${folder}`)) {
      const digest = digestOfName(kind, `${prefix}${name}`)
      if (digest !== undefined) yield { kind, path: `${kind}/${prefix}${name}`, digest }
    }
  }
}

function isMarked(marks: Marks, { kind, digest }: StoreFile): boolean {
  switch (kind) {
    case 'records':
      return marks.records.has(digest as Digest)
    case 'blobs':
      return marks.blobs.has(digest as Digest)
    case 'images':
      return marks.images.has(parseVerityDigest(digest))
    case 'layers':
      return marks.recipes.has(parseRecipeDigest(digest))
    case 'objects':
      return marks.objects.has(parseVerityDigest(digest))
  }
}

async function condemn(
  root: string,
  marks: Marks,
  candidates: readonly Candidate[],
  signal: AbortSignal | undefined,
): Promise<Candidate[]> {
  const { folder, lock } = createFolder(root)
  try {
    const gone = await putAside(root, folder, marks, candidates, signal)
    await syncRoot(root)
    return gone
  } finally {
    // What is still aside after an error gets its names back.
    await removeDead(root, [{ path: folder, lock }], true)
  }
}

/** Steps 1 to 4; returns what stays away. */
async function putAside(
  root: string,
  folder: string,
  marks: Marks,
  candidates: readonly Candidate[],
  signal: AbortSignal | undefined,
): Promise<Candidate[]> {
  const aside = new Aside(root, `${folder}/aside`)
  using _lock = await lockStore(root, 'exclusive', signal)
  markAll(root, marks)
  writeFile(`${root}/${lockFile}`, Buffer.from(randomUUID()))
  for (const kind of kinds) {
    for (const candidate of candidates) if (candidate.kind === kind && !isMarked(marks, candidate)) aside.put(candidate)
    if (kind === 'images') aside.putBackUsedImages(marks)
  }
  marks.lookIn(aside.path)
  marks.markHolds()
  const gone = aside.putBackMarked(marks)
  aside.end(`${folder}/trash`)
  removeLeftovers(root)
  return gone
}

/** The folder of what was taken away, as a small store of its own. */
class Aside {
  readonly path: string
  readonly #root: string
  readonly #folders = new Set<string>()
  #files: Candidate[] = []

  constructor(root: string, path: string) {
    this.#root = root
    this.path = path
    for (const kind of [...kinds, 'refs']) makeFolder(`${path}/${kind}`)
  }

  put(candidate: Candidate): void {
    if (this.#rename(candidate.path, this.#root, this.path)) this.#files.push(candidate)
  }

  /** Nobody can open them by name any more, so that an open file is a mount that came in time. */
  putBackUsedImages(marks: Marks): void {
    marks.lookIn(this.path)
    for (const { kind, path, digest } of this.#files)
      if (kind === 'images' && isInUse(`${this.path}/${path}`)) marks.markImage(parseVerityDigest(digest))
    this.putBackMarked(marks)
  }

  /** From the bottom up; returns the others. */
  putBackMarked(marks: Marks): Candidate[] {
    const marked = this.#files.filter((candidate) => isMarked(marks, candidate))
    for (const { path } of marked.toReversed()) this.#rename(path, this.path, this.#root)
    this.#files = this.#files.filter((candidate) => !isMarked(marks, candidate))
    return this.#files
  }

  /** From here on nothing comes back. */
  end(trash: string): void {
    for (const fanOut of new Set(this.#files.map(({ path }) => dirname(path)))) {
      // An empty folder would cost the next commit one rename for each of its files.
      if (fanOut.startsWith('objects/') && readdirSync(`${this.#root}/${fanOut}`).length === 0)
        rmdirSync(`${this.#root}/${fanOut}`)
    }
    renameSync(this.path, trash)
  }

  #makeFanOut(folder: string): void {
    if (this.#folders.has(folder)) return
    makeFolder(folder)
    this.#folders.add(folder)
  }

  #rename(path: string, from: string, to: string): boolean {
    try {
      this.#makeFanOut(dirname(`${to}/${path}`))
      renameSync(`${from}/${path}`, `${to}/${path}`)
      return true
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw fileError('put aside', `${from}/${path}`, error)
    }
  }
}

/** Temporary files of tag commands that were killed: their owners would hold the lock. */
function removeLeftovers(root: string): void {
  for (const name of listFolder(`${root}/${tmpFolder}`))
    if (name.startsWith('ref-')) unlinkSync(`${root}/${tmpFolder}/${name}`)
}

async function syncRoot(root: string): Promise<void> {
  const fd = openSync(root, 'r')
  try {
    await syncfsAsync(fd)
  } finally {
    closeSync(fd)
  }
}

function report(gone: readonly Candidate[], transactions: number, dryRun: boolean): GcReport {
  const removed = (wanted: DigestFolder): Removed => {
    const files = gone.filter(({ kind }) => kind === wanted)
    return { count: files.length, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) }
  }
  return {
    dryRun,
    records: removed('records'),
    images: removed('images'),
    recipes: removed('layers'),
    blobs: removed('blobs'),
    objects: removed('objects'),
    transactions,
    bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}
