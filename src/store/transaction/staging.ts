import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs'
import type { RecipeDigest, VerityDigest } from '../../digest.ts'
import { errnoOf } from '../../error.ts'
import { writeAll } from '../../linux/descriptor-io.ts'
import { dropTemporary, fileError, writeFile } from '../store-files.ts'
import { type HoldKind, formatHolds } from './holds.ts'
import { objectPath, recipePath } from '../store-layout.ts'
import { packRecipe } from '../recipes/recipe-files.ts'
import { StagedFile } from './staged-file.ts'

export type { StagedFile } from './staged-file.ts'

/**
 * A place in which a part of a transaction is staged: a plain value that another thread can be given. Only a Staging
 * looks into it.
 */
export interface StagingPlace {
  /** Root of the store. */
  readonly root: string
  /** Folder of the transaction. */
  readonly folder: string
  /** Part of the names of files that are not finished: no two of one transaction are the same. */
  readonly lane: string
}

/**
 * Puts objects and recipes into the folder of a transaction. Made for worker threads: synchronous, and sharing nothing
 * with others but the file system. Any number of them, each a lane with a name of its own, may fill one transaction;
 * two that stage the same digest both succeed.
 *
 * Nothing here syncs or is visible to anybody: the transaction's commit does that for all lanes at once. Objects lie in
 * the fan-out they will have in the store, so that a commit can give a name to 1/256 of them with one rename.
 *
 * When a call fails (a full disk, say), the transaction cannot be committed any more.
 */
export class Staging implements Disposable {
  readonly #root: string
  readonly #folder: string
  readonly #lane: string
  readonly #umask = currentUmask()
  /** Marks the folders of the fan-out that are known to exist. */
  readonly #fanOut = new Uint8Array(256)
  #holds: number | undefined
  #latest: ReadonlySet<string> = new Set()
  #files = 0

  constructor({ root, folder, lane }: StagingPlace) {
    this.#root = root
    this.#folder = folder
    this.#lane = lane
  }

  /** Makes these objects safe from garbage collection from here on. Cheapest with many digests at once. */
  hold(digests: Iterable<VerityDigest>): void {
    const latest = new Set(digests)
    if (latest.size > 0) this.#hold('o', latest)
    this.#latest = latest
  }

  /**
   * Whether the object is in the store, or already staged by any lane. A digest is held before it is looked up, the
   * order on which garbage collection relies (see `gc/collect-garbage.ts`): those of the latest hold() are, others are
   * held here one by one.
   */
  has(digest: VerityDigest): boolean {
    return this.isStored(digest) || this.isStaged(digest)
  }

  /** Whether the object is in the store; held before it is looked up, as with has(). */
  isStored(digest: VerityDigest): boolean {
    if (!this.#latest.has(digest)) this.hold([digest])
    return existsSync(objectPath(this.#root, digest))
  }

  isStaged(digest: VerityDigest): boolean {
    return existsSync(objectPath(this.#folder, digest))
  }

  /** Writes an object whose digest the caller has computed from these bytes; false when a lane has staged it before. */
  stage(digest: VerityDigest, bytes: Uint8Array): boolean {
    const path = this.#objectPath(digest)
    let fd: number
    try {
      fd = openSync(path, 'wx', 0o444)
    } catch (error) {
      // Another lane has it, or is writing it this moment; should that write fail, all of the transaction does.
      if (errnoOf(error) === 'EEXIST') return false
      throw this.#failed('stage object', path, error)
    }
    try {
      if ((this.#umask & 0o444) !== 0) fchmodSync(fd, 0o444)
      writeAll(fd, bytes)
    } catch (error) {
      throw this.#failed('stage object', path, error)
    } finally {
      closeSync(fd)
    }
    return true
  }

  /** Moves a file that has been found to hold this object here. */
  take(digest: VerityDigest, path: string): void {
    const place = this.#objectPath(digest)
    try {
      renameSync(path, place)
    } catch (error) {
      throw this.#failed('stage object', place, error)
    }
  }

  /** Begins an object that is too large to wait for its digest. */
  openFile(): StagedFile {
    const path = this.#temporary()
    try {
      const fd = openSync(path, 'wx', 0o444)
      if ((this.#umask & 0o444) !== 0) fchmodSync(fd, 0o444)
      return new StagedFile(
        fd,
        path,
        (digest) => this.#objectPath(digest),
        (...what) => this.#failed(...what),
      )
    } catch (error) {
      throw this.#failed('stage object', path, error)
    }
  }

  /** Whether a recipe is in the store, or staged; held before it is looked up, as with has(). */
  hasRecipe(digest: RecipeDigest): boolean {
    this.#hold('l', [digest])
    return existsSync(recipePath(this.#root, digest)) || existsSync(recipePath(this.#folder, digest))
  }

  /** Compresses and stages a recipe, unless the store has it; `digest` names the uncompressed bytes. */
  stageRecipe(digest: RecipeDigest, bytes: Uint8Array): void {
    if (this.hasRecipe(digest)) return
    const path = recipePath(this.#folder, digest)
    const temporary = this.#temporary()
    try {
      writeFile(temporary, packRecipe(bytes))
      // Under its name it is whole, so that a later transaction can continue from it when this one is killed.
      renameSync(temporary, path)
    } catch (error) {
      throw this.#failed('stage recipe', path, error)
    }
  }

  close(): void {
    if (this.#holds !== undefined) closeSync(this.#holds)
    this.#holds = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #hold(kind: HoldKind, digests: Iterable<string>): void {
    const path = `${this.#folder}/holds`
    try {
      // Without O_CREAT: a transaction that has failed, or is over, takes no more holds.
      this.#holds ??= openSync(path, constants.O_WRONLY | constants.O_APPEND)
      const lines = formatHolds(kind, digests)
      // One write(2), so that lanes do not tear each other's lines.
      if (writeSync(this.#holds, lines) !== lines.length) throw new Error('ENOSPC: the line was cut short')
    } catch (error) {
      throw this.#failed('write', path, error)
    }
  }

  #temporary(): string {
    return `${this.#folder}/files/${this.#lane}-${this.#files++}`
  }

  #objectPath(digest: VerityDigest): string {
    const index = Number.parseInt(digest.slice(0, 2), 16)
    if (this.#fanOut[index] === 0) this.#makeFanOut(digest, index)
    return objectPath(this.#folder, digest)
  }

  #makeFanOut(digest: VerityDigest, index: number): void {
    const path = `${this.#folder}/objects/${digest.slice(0, 2)}`
    try {
      mkdirSync(path, { recursive: true, mode: 0o755 })
      if ((this.#umask & 0o755) !== 0) chmodSync(path, 0o755)
    } catch (error) {
      throw this.#failed('stage objects in', path, error)
    }
    this.#fanOut[index] = 1
  }

  /**
   * Spoils the transaction: taking the holds away is what a full disk still allows, and commit refuses one without
   * them.
   */
  #failed(action: string, path: string, error: unknown): Error {
    dropTemporary(`${this.#folder}/holds`)
    return fileError(action, path, error)
  }
}

/** The umask, from /proc: process.umask() sets it for a moment, which other threads would see. */
function currentUmask(): number {
  const [, mask = '0777'] = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1')) ?? []
  return Number.parseInt(mask, 8)
}
