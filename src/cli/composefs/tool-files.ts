import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { errnoOf } from '../../error.ts'
import { pathToBytes } from '../../paths.ts'
import { attempt } from './tool-failure.ts'

/** Files as the tools name them: paths with one char per byte. */

export function readImage(path: string): Buffer {
  return attempt(`Failed to open '${path}'`, () => readFileSync(pathToBytes(path)))
}

/** Everything a descriptor gives, in pieces that are good until the next one. */
export function* readPieces(fd: number): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (;;) {
    const length = retrying(() => readSync(fd, buffer))
    if (length === 0) return
    yield buffer.subarray(0, length)
  }
}

export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += retrying(() => writeSync(fd, bytes, done))
}

/** A pipe may be set not to block, by whoever has its other end. */
function retrying(action: () => number): number {
  for (;;) {
    try {
      return action()
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

/** A file to be written, opened before there is anything to write, so that it fails early. What it holds is kept until then. */
export class OutputFile implements Disposable {
  readonly #fd: number

  constructor(path: string, what: string) {
    const flags = constants.O_WRONLY | constants.O_CREAT
    this.#fd = attempt(what, () => openSync(pathToBytes(path), flags, 0o666))
  }

  truncate(): void {
    if (fstatSync(this.#fd).isFile()) ftruncateSync(this.#fd, 0)
  }

  append(bytes: Uint8Array): void {
    writeAll(this.#fd, bytes)
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}
