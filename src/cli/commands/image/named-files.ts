import { closeSync, constants, fchmodSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { dirname, join } from 'node:path'
import { OnefoldError, describeErrno, errnoOf } from '../../../error.ts'

/** Opens and reads files that are named on the command line. */

/** Reads all the bytes of a file; `-` is standard input. */
export function readInput(path: string): Buffer {
  return reaching('read', path, () => readFileSync(path === '-' ? 0 : path))
}

export function openInput(path: string): number {
  return path === '-' ? 0 : reaching('read', path, () => openSync(path, 'r'))
}

/**
 * File that gets its name when it is whole, in place of what had the name before; where the name is no regular file (a
 * pipe, a device) it is written to directly.
 */
export class OutputFile implements Disposable {
  readonly fd: number
  readonly #path: string
  readonly #temporary: string | undefined
  #isDone = false

  constructor(path: string) {
    this.#path = path
    const isSpecial = reaching('write', path, () => statSync(path, { throwIfNoEntry: false }))?.isFile() === false
    this.#temporary = isSpecial ? undefined : join(dirname(path), `.onefold-${randomBytes(6).toString('hex')}`)
    const flags = isSpecial ? constants.O_WRONLY : constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
    this.fd = reaching('write', path, () => openSync(this.#temporary ?? path, flags, 0o666))
  }

  done(): void {
    reaching('write', this.#path, () => {
      if (this.#temporary === undefined) return
      const before = statSync(this.#path, { throwIfNoEntry: false })
      if (before !== undefined) fchmodSync(this.fd, before.mode & 0o7777)
      renameSync(this.#temporary, this.#path)
    })
    this.#isDone = true
  }

  [Symbol.dispose](): void {
    closeSync(this.fd)
    if (!this.#isDone && this.#temporary !== undefined) rmSync(this.#temporary, { force: true })
  }
}

function reaching<T>(action: string, path: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    const errno = errnoOf(cause)
    if (errno === undefined) throw cause
    const code = errno === 'ENOENT' ? 'NOT_FOUND' : errno === 'EACCES' || errno === 'EPERM' ? 'DENIED' : 'IO'
    throw new OnefoldError(code, `Cannot ${action} "${path}": ${describeErrno(errno)}`, { cause })
  }
}
