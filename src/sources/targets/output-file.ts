import { randomBytes } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { type Code, OnefoldError, errnoOf } from '../../error.ts'

/**
 * Files that people asked for by name. They show when they are whole and durable, or not at all; a symlink stays and what
 * it leads to is replaced. What is no regular file (a pipe, /dev/stdout) is written to as it is.
 */
export class OutputFile implements Disposable {
  readonly #path: string
  readonly #fd: number
  /** Name until the file is finished; undefined where it is written in place. */
  #temporary: string | undefined
  #at = 0
  readonly #buffer = Buffer.allocUnsafeSlow(bufferBytes)
  #buffered = 0
  #isOver = false

  private constructor(path: string, fd: number, temporary: string | undefined) {
    this.#path = path
    this.#fd = fd
    this.#temporary = temporary
  }

  static open(wanted: string): OutputFile {
    try {
      if (statSync(wanted, { throwIfNoEntry: false })?.isFile() === false)
        return new OutputFile(wanted, openSync(wanted, 'a'), undefined)
      const path = resolved(wanted)
      const temporary = temporaryName(path)
      return new OutputFile(path, openSync(temporary, 'wx', 0o666), temporary)
    } catch (error) {
      throw outputError(wanted, error)
    }
  }

  /** Whether bytes can be written over: a regular file can be gone back in, a pipe cannot. */
  get canSeek(): boolean {
    return this.#temporary !== undefined
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#at + this.#buffered
  }

  /** Appends; what is given may be used again at once. */
  write(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > this.#buffer.length) this.#flush()
    if (bytes.length > this.#buffer.length) return this.#append(bytes)
    this.#buffer.set(bytes, this.#buffered)
    this.#buffered += bytes.length
  }

  /** Writes over bytes that have been written. */
  writeAt(bytes: Uint8Array, at: number): void {
    this.#flush()
    this.#attempt(() => {
      for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done, bytes.length - done, at + done)
    })
  }

  /** Makes the file durable, then visible. */
  finish(): void {
    this.#flush()
    this.#isOver = true
    const temporary = this.#temporary
    this.#attempt(() => {
      if (temporary !== undefined) fsyncSync(this.#fd)
      closeSync(this.#fd)
      if (temporary === undefined) return
      renameSync(temporary, this.#path)
      this.#temporary = undefined
      syncFolder(dirname(this.#path))
    })
  }

  [Symbol.dispose](): void {
    if (!this.#isOver) closeSync(this.#fd)
    this.#isOver = true
    if (this.#temporary !== undefined) rmSync(this.#temporary, { force: true })
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#buffered)
    this.#buffered = 0
    this.#append(bytes)
  }

  #append(bytes: Uint8Array): void {
    this.#attempt(() => {
      for (let done = 0; done < bytes.length;) {
        const place = this.canSeek ? this.#at : null
        const written = writeSync(this.#fd, bytes, done, bytes.length - done, place)
        done += written
        this.#at += written
      }
    })
  }

  #attempt(action: () => void): void {
    try {
      action()
    } catch (error) {
      throw outputError(this.#path, error)
    }
  }
}

const bufferBytes = 1024 * 1024

/** A name beside the thing itself, so that it can be renamed to it. */
export function temporaryName(path: string): string {
  return `${path}.onefold-${randomBytes(6).toString('hex')}`
}

/** Follows a symlink; a path that leads nowhere yet is taken as it is. */
function resolved(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return path
    throw error
  }
}

/** A whole small file, in one step. */
export function putFile(path: string, bytes: Uint8Array): void {
  using file = OutputFile.open(path)
  file.write(bytes)
  file.finish()
}

export function makeFolders(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
  } catch (error) {
    throw outputError(path, error)
  }
}

export function syncFolder(path: string): void {
  const fd = openSync(path === '' ? '.' : path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const codes: Readonly<Record<string, Code>> = {
  EACCES: 'DENIED',
  EPERM: 'DENIED',
  EROFS: 'DENIED',
  ENOENT: 'NOT_FOUND',
}

export function outputError(path: string, error: unknown): OnefoldError {
  if (error instanceof OnefoldError) return error
  const errno = errnoOf(error)
  const found = errno === 'ENOENT' ? 'there is no such folder' : (errno ?? String(error))
  return new OnefoldError(codes[errno ?? ''] ?? 'IO', `Cannot write ${JSON.stringify(path)}: ${found}`, {
    cause: error,
  })
}
