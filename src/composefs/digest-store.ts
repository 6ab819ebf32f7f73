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
import { VerityHasher } from '../formats/fsverity/digest.ts'
import { clone, syncfs } from '../linux/file.ts'
import { enableVerity } from '../linux/verity.ts'
import { attempt } from './failure.ts'
import { pathBytes, writeAll } from './files.ts'

/**
 * Copies files into a directory of objects, `ab/cdef…` by fs-verity digest, as `mkcomposefs --digest-store` lays it out.
 *
 * An object gets its name only after its bytes are on the disk, all of a batch with one sync: whatever has a name is
 * whole, also after a power cut. Objects that are there already are left alone.
 */
export class DigestStore implements Disposable {
  readonly #folder: string
  /** Copies without a name yet, by digest. */
  readonly #staged = new Map<VerityDigest, string>()

  constructor(folder: string) {
    this.#folder = folder.replace(/(?<=.)\/+$/, '')
    attempt('cannot fill store', () => makeFolder(this.#folder))
  }

  /** Copies the open file, whose bytes the caller has found to have this digest; `whole` when they are at hand. */
  add(digest: VerityDigest, fd: number, size: number, whole: Uint8Array | undefined): void {
    if (this.#staged.has(digest)) return
    attempt('cannot fill store', () => {
      if (!this.#holds(digest, size)) this.#copy(digest, fd, size, whole)
    })
  }

  #copy(digest: VerityDigest, fd: number, size: number, whole: Uint8Array | undefined): void {
    const path = `${this.#folder}/.tmp${randomBytes(6).toString('hex')}`
    const copy = openSync(pathBytes(path), 'wx', 0o644)
    this.#staged.set(digest, path)
    try {
      fchmodSync(copy, 0o644)
      if (whole !== undefined && whole.length < cloneMin) writeAll(copy, whole)
      else if (!clone(fd, copy)) copyBytes(digest, fd, copy, size)
    } finally {
      closeSync(copy)
    }
  }

  /** Gives everything added its name. */
  commit(): void {
    if (this.#staged.size === 0) return
    attempt('cannot fill store', () => {
      this.#sync()
      for (const [digest, path] of this.#staged) {
        seal(path)
        makeFolder(`${this.#folder}/${digest.slice(0, 2)}`)
        renameSync(pathBytes(path), pathBytes(this.#pathOf(digest)))
        this.#staged.delete(digest)
      }
    })
  }

  /** Drops what has no name. */
  [Symbol.dispose](): void {
    for (const path of this.#staged.values()) unlinkSync(pathBytes(path))
    this.#staged.clear()
  }

  /** A file of another size is what a crash left of an object that was not synced: it is replaced. */
  #holds(digest: VerityDigest, size: number): boolean {
    const stats = lstatSync(pathBytes(this.#pathOf(digest)), { throwIfNoEntry: false })
    return stats !== undefined && stats.isFile() && stats.size === size
  }

  #pathOf(digest: VerityDigest): string {
    return `${this.#folder}/${digest.slice(0, 2)}/${digest.slice(2)}`
  }

  #sync(): void {
    const fd = openSync(pathBytes(this.#folder), constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      syncfs(fd)
    } finally {
      closeSync(fd)
    }
  }
}

/** Smaller files are written faster than blocks are shared, and have few. */
const cloneMin = 64 * 1024

/** Checks what it copies: the file may have been written to since it was hashed. */
function copyBytes(digest: VerityDigest, from: number, to: number, size: number): void {
  const hasher = new VerityHasher()
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (let at = 0; at < size;) {
    const length = readSync(from, buffer, 0, Math.min(buffer.length, size - at), at)
    if (length === 0) break
    hasher.update(buffer.subarray(0, length))
    writeAll(to, buffer.subarray(0, length))
    at += length
  }
  if (hasher.digest() !== digest)
    throw new OnefoldError('DIGEST_MISMATCH', `object ${digest} changed while it was being copied`)
}

/** Where the file system can: a store on one that cannot is as good without. */
function seal(path: string): void {
  const fd = openSync(pathBytes(path), 'r')
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
    mkdirSync(pathBytes(path), { recursive: true, mode: 0o755 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
}
