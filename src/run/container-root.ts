import { closeSync, constants, fstatSync, mkdirSync, readSync } from 'node:fs'
import { OnefoldError, describeErrno, errnoOf, hasCode } from '../error.ts'
import { openFlag } from '../linux/libc.ts'
import { open, openBelow } from '../linux/file.ts'
import { pathFromUtf8 } from '../paths.ts'

/** Largest text file that is read: /etc/passwd of an image beyond this is no list of users. */
const textMax = 16 << 20

/**
 * Mounted image seen from outside. Everything in it, symlinks first of all, is up to the image's maker: paths are
 * resolved by the kernel as if the image were the root, and only regular files are read.
 */
export class Rootfs implements Disposable {
  readonly #fd: number

  constructor(path: string) {
    this.#fd = open(pathFromUtf8(path), openFlag('O_PATH') | openFlag('O_DIRECTORY'))
  }

  /** Reads the text of a regular file; undefined when there is none of that name. */
  readText(path: string): string | undefined {
    const fd = this.#open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    if (fd === undefined) return undefined
    try {
      const status = fstatSync(fd)
      if (!status.isFile()) return undefined
      if (status.size > textMax) {
        throw new OnefoldError(
          'LIMIT',
          `Cannot read ${path} of the image: it has ${status.size} bytes, at most ${textMax} are read`,
        )
      }
      return readAll(fd, status.size)
    } finally {
      closeSync(fd)
    }
  }

  /** Reads the first bytes of a regular file; undefined when there is none of that name. */
  readHead(path: string, length: number): Buffer | undefined {
    const fd = this.#open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    if (fd === undefined) return undefined
    try {
      if (!fstatSync(fd).isFile()) return undefined
      const bytes = Buffer.alloc(length)
      return bytes.subarray(0, readSync(fd, bytes, 0, length, 0))
    } finally {
      closeSync(fd)
    }
  }

  /** Tells whether there is a regular file that somebody may execute. */
  isProgram(path: string): boolean {
    let fd: number | undefined
    try {
      fd = this.#open(path, openFlag('O_PATH'))
    } catch {
      return false // The way to it ends in a loop or at a file.
    }
    if (fd === undefined) return false
    const status = fstatSync(fd)
    closeSync(fd)
    return status.isFile() && (status.mode & 0o111) !== 0
  }

  /** Makes the directory, and those above it, where they are missing; root owns them. */
  makeDirectories(path: string): void {
    try {
      this.#makeDirectories(path)
    } catch (cause) {
      const errno = errnoOf(cause instanceof OnefoldError ? cause.cause : cause)
      if (errno === undefined) throw cause
      const reason = reasons[errno] ?? describeErrno(errno)
      throw new OnefoldError('IO', `Cannot make directory ${JSON.stringify(path)} in the image: ${reason}`, { cause })
    }
  }

  #makeDirectories(path: string): void {
    const names = path.split('/').filter((name) => name !== '')
    for (let depth = 1; depth <= names.length; depth++) {
      const fd = this.#open(names.slice(0, depth).join('/'), openFlag('O_PATH') | openFlag('O_DIRECTORY'))
      if (fd !== undefined) closeSync(fd)
      else this.#makeDirectory(names.slice(0, depth - 1).join('/'), names[depth - 1] ?? '')
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  #makeDirectory(parent: string, name: string): void {
    const fd = this.#open(parent === '' ? '.' : parent, openFlag('O_PATH') | openFlag('O_DIRECTORY'))
    if (fd === undefined)
      throw new OnefoldError('NOT_FOUND', `Cannot make /${parent}/${name} in the image: /${parent} went away`)
    try {
      // mkdir follows no symlink in the last place, and the place before it is an open directory.
      mkdirSync(Buffer.from(`/proc/self/fd/${fd}/${name}`))
    } finally {
      closeSync(fd)
    }
  }

  #open(path: string, flags: number): number | undefined {
    try {
      return openBelow(this.#fd, pathFromUtf8(path), flags, 'in-root')
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined
      throw error
    }
  }
}

/** Explanations of why a directory cannot be made. */
const reasons: Readonly<Record<string, string>> = {
  EEXIST: 'a symlink to nowhere is in its way',
  ENOTDIR: 'something that is no directory is in its way',
  ELOOP: 'symlinks on the way form a loop',
}

function readAll(fd: number, size: number): string {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size;) {
    const length = readSync(fd, bytes, at, size - at, at)
    if (length === 0) return bytes.toString('utf8', 0, at)
    at += length
  }
  return bytes.toString('utf8')
}
