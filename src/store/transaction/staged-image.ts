import { closeSync, fchmodSync, openSync, renameSync } from 'node:fs'
import { writeAll } from '../../linux/descriptor-io.ts'
import { dropTemporary, fileError } from '../store-files.ts'

/** An image on its way into a transaction: written piece by piece, as its name is only known at the end. */
export class StagedImage implements Disposable {
  readonly #path: string
  readonly #fd: number
  #isOpen = true

  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'wx', 0o444)
    } catch (error) {
      throw fileError('write', path, error)
    }
  }

  readonly write = (piece: Uint8Array): void => {
    try {
      writeAll(this.#fd, piece)
    } catch (error) {
      throw fileError('write', this.#path, error)
    }
  }

  /** Gives it the path where the transaction keeps its images. */
  finish(path: string): void {
    try {
      fchmodSync(this.#fd, 0o444)
      this.#close()
      renameSync(this.#path, path)
    } catch (error) {
      throw fileError('write', path, error)
    }
  }

  #close(): void {
    if (this.#isOpen) closeSync(this.#fd)
    this.#isOpen = false
  }

  /** Removes what has not been finished. */
  [Symbol.dispose](): void {
    if (!this.#isOpen) return
    this.#close()
    dropTemporary(this.#path)
  }
}
