import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fchmodSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
} from 'node:fs'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError, errnoOf } from '../error.ts'
import { VerityHasher } from '../formats/fsverity/verity-digest.ts'
import { writeAll } from '../linux/descriptor-io.ts'
import { clone, linkFd, syncfs } from '../linux/file.ts'
import { isErrno } from '../linux/libc.ts'
import { enableVerity } from '../linux/fs-verity.ts'
import { changedWhileRead, scanning } from './scan-error.ts'
import { pathToBytes } from '../paths.ts'

/**
 * Copies files into a directory of objects, `ab/cdef…` by fs-verity digest, as `mkcomposefs --digest-store` lays it out.
 *
 * An object gets its name only after its bytes are on the disk, all of a batch with one sync: whatever has a name is
 * whole, also after a power cut. Objects that are there already are left alone.
 *
 * A store's transactions stage objects in the same fan-out (`src/store/transaction/staging.ts`), and the two have little
 * else in common. A store is ours: its objects are found by holds, nothing collects them meanwhile, all of a transaction gets
 * its names at once, and an object that has a name is whole. This directory is anybody's: other tools read it, write to it
 * and delete in it, a crash of theirs may have left parts of objects under good names, and what is copied is a file, whose
 * blocks or inode can be shared, where a store is handed bytes.
 */
export class DigestStore implements Disposable {
  readonly #folder: string
  readonly #link: boolean
  /** Copies without a name yet, by digest. */
  readonly #staged = new Map<VerityDigest, string>()

  /** @param link as in ScanOptions */
  constructor(folder: string, link = false) {
    this.#link = link
    this.#folder = folder.replace(/(?<=.)\/+$/, '')
    scanning('store', this.#folder, () => makeFolder(this.#folder))
  }

  /** Copies the open file, whose bytes the caller has found to have this digest; `whole` when they are at hand. */
  add(digest: VerityDigest, fd: number, size: number, whole: Uint8Array | undefined): 'present' | 'copied' | 'linked' {
    if (this.#staged.has(digest)) return 'present'
    return scanning('store', this.#folder, () =>
      holdsObject(this.#folder, digest, size) ? 'present' : this.#copy(digest, fd, size, whole),
    )
  }

  /** Copies by sharing blocks, else by a link where that was asked for, else byte by byte. */
  #copy(digest: VerityDigest, fd: number, size: number, whole: Uint8Array | undefined): 'copied' | 'linked' {
    const path = `${this.#folder}/.tmp${randomBytes(6).toString('hex')}`
    const copy = openSync(pathToBytes(path), 'wx', 0o644)
    this.#staged.set(digest, path)
    try {
      fchmodSync(copy, 0o644)
      if ((whole === undefined || whole.length >= cloneMin) && clone(fd, copy)) return 'copied'
      if (this.#link && linkInstead(fd, path)) return 'linked'
      if (whole !== undefined) writeAll(copy, whole)
      else if (!copyBytes(digest, fd, copy, size)) throw changedWhileRead('store', this.#folder)
      return 'copied'
    } finally {
      closeSync(copy)
    }
  }

  /** Gives everything added its name. */
  commit(): void {
    if (this.#staged.size === 0) return
    scanning('store', this.#folder, () => {
      this.#sync()
      for (const [digest, path] of this.#staged) {
        seal(path)
        makeFolder(`${this.#folder}/${digest.slice(0, 2)}`)
        renameSync(pathToBytes(path), pathToBytes(this.#pathOf(digest)))
        this.#staged.delete(digest)
      }
    })
  }

  /** Drops what has no name. */
  [Symbol.dispose](): void {
    for (const path of this.#staged.values()) unlinkSync(pathToBytes(path))
    this.#staged.clear()
  }

  #pathOf(digest: VerityDigest): string {
    return objectPath(this.#folder, digest)
  }

  #sync(): void {
    const fd = openSync(pathToBytes(this.#folder), constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      syncfs(fd)
    } finally {
      closeSync(fd)
    }
  }
}

/** A file of another size is what a crash left of an object that was not synced: it is replaced. */
export function holdsObject(folder: string, digest: VerityDigest, size: number): boolean {
  const stats = lstatSync(pathToBytes(objectPath(folder, digest)), { throwIfNoEntry: false })
  return stats !== undefined && stats.isFile() && stats.size === size
}

function objectPath(folder: string, digest: VerityDigest): string {
  return `${folder}/${digest.slice(0, 2)}/${digest.slice(2)}`
}

/** Puts another name of the open file in place of the empty copy; false where the file system cannot. */
function linkInstead(fd: number, path: string): boolean {
  const other = `${path}.link`
  try {
    linkFd(fd, other)
  } catch (error) {
    if (['EXDEV', 'EPERM', 'EMLINK', 'EOPNOTSUPP'].some((errno) => isErrno(error, errno))) return false
    throw error
  }
  renameSync(pathToBytes(other), pathToBytes(path))
  return true
}

/** Smaller files are written faster than blocks are shared, and have few. */
const cloneMin = 64 * 1024

/** Copies a file; false when it was written to since it was hashed. */
function copyBytes(digest: VerityDigest, from: number, to: number, size: number): boolean {
  const hasher = new VerityHasher()
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (let at = 0; at < size;) {
    const length = readSync(from, buffer, 0, Math.min(buffer.length, size - at), at)
    if (length === 0) break
    hasher.update(buffer.subarray(0, length))
    writeAll(to, buffer.subarray(0, length))
    at += length
  }
  return hasher.digest() === digest
}

/** Seals the object with fs-verity where the file system can: a store on one that cannot is as good without. */
function seal(path: string): void {
  const fd = openSync(pathToBytes(path), 'r')
  try {
    enableVerity(fd)
  } catch (error) {
    if (!(error instanceof OnefoldError)) throw error
  } finally {
    closeSync(fd)
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(pathToBytes(path), { recursive: true, mode: 0o755 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}
