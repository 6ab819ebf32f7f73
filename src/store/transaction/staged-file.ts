import { closeSync, ftruncateSync, readSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import type { VerityDigest } from '../../digest.ts'
import { cloneRange } from '../../linux/file.ts'

/** File systems share whole blocks, at the same place in a block of either file. */
const blockBytes = 4096
const copyBytes = 1024 * 1024

/** Bytes of an open file that are to become the next of a staged one. */
interface Run {
  readonly fd: number
  /** Offsets at which they begin, in that file and in this. */
  readonly from: number
  readonly to: number
  length: number
}

type Failed = (action: string, path: string, error: unknown) => Error

/** An object being staged. It must be ended by finish() or drop(). */
export class StagedFile {
  readonly #fd: number
  readonly #path: string
  readonly #place: (digest: VerityDigest) => string
  readonly #failed: Failed
  #size = 0
  #endsInHole = false
  #run: Run | undefined
  /** Whether to try and share: until the file system says no. */
  #mayShare = true

  constructor(fd: number, path: string, place: (digest: VerityDigest) => string, failed: Failed) {
    this.#fd = fd
    this.#path = path
    this.#place = place
    this.#failed = failed
  }

  write(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.endShare()
    this.#writeAt(bytes, this.#size)
    this.#size += bytes.length
    this.#endsInHole = false
  }

  /**
   * Writes `bytes`, which also lie at `offset` of an open file: blocks of that one become this one's as well where the
   * file system can do that. `fd` stays open until endShare(), or the next call of another method.
   */
  share(bytes: Uint8Array, fd: number, offset: number): void {
    if (bytes.length === 0) return
    if (this.#mayShare && (offset - this.#size) % blockBytes === 0) this.#extendRun(fd, offset, bytes.length)
    else this.write(bytes)
  }

  #extendRun(fd: number, offset: number, length: number): void {
    const run = this.#run
    if (run?.fd === fd && run.from + run.length === offset) run.length += length
    else {
      this.endShare()
      this.#run = { fd, from: offset, to: this.#size, length }
    }
    this.#size += length
    this.#endsInHole = false
  }

  /** Carries out what was shared, so that files given to share() may be closed. */
  endShare(): void {
    const run = this.#run
    this.#run = undefined
    if (run === undefined) return
    const { fd, from, to, length } = run
    const head = Math.min(length, -to & (blockBytes - 1))
    const whole = length - head - ((length - head) & (blockBytes - 1))
    try {
      this.#mayShare = whole === 0 || cloneRange(fd, from + head, whole, this.#fd, to + head)
      if (whole === 0 || !this.#mayShare) return this.#copy(run, 0, length)
      this.#copy(run, 0, head)
      this.#copy(run, head + whole, length)
    } catch (error) {
      throw this.#failed('stage object', this.#path, error)
    }
  }

  #copy({ fd, from, to }: Run, start: number, end: number): void {
    const buffer = Buffer.allocUnsafe(Math.min(copyBytes, end - start))
    for (let at = start; at < end;) {
      const read = readSync(fd, buffer, 0, Math.min(buffer.length, end - at), from + at)
      if (read === 0) throw new Error('the object that is shared ends too early')
      this.#writeAt(buffer.subarray(0, read), to + at)
      at += read
    }
  }

  #writeAt(bytes: Uint8Array, position: number): void {
    try {
      for (let done = 0; done < bytes.length;)
        done += writeSync(this.#fd, bytes, done, bytes.length - done, position + done)
    } catch (error) {
      throw this.#failed('stage object', this.#path, error)
    }
  }

  /** Adds `length` zeros that take no space. */
  hole(length: number): void {
    this.endShare()
    this.#size += length
    this.#endsInHole = true
  }

  /** Gives it its place among the staged objects; the digest must be that of everything written. */
  finish(digest: VerityDigest): void {
    this.endShare()
    try {
      if (this.#endsInHole) ftruncateSync(this.#fd, this.#size)
      closeSync(this.#fd)
      renameSync(this.#path, this.#place(digest))
    } catch (error) {
      throw this.#failed('stage object', this.#path, error)
    }
  }

  drop(): void {
    closeSync(this.#fd)
    unlinkSync(this.#path)
  }
}
