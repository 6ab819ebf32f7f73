/** The files that composefs' tools are given; paths have one char per byte. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readFileSync } from 'node:fs'
import { writeAll } from '../../linux/descriptor-io.ts'
import { pathToBytes } from '../../paths.ts'
import { attempt } from './tool-failure.ts'

/** All the bytes of an image file. */
export function readImage(path: string): Buffer {
  return attempt(`Failed to open '${path}'`, () => readFileSync(pathToBytes(path)))
}

/** A file to be written, opened before there is anything to write, so that it fails early. Its bytes stay until then. */
export class ToolOutput implements Disposable {
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
