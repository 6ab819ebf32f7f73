import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { type Code, OnefoldError, describeErrno, errnoOf } from '../error.ts'
import { writeAll } from '../linux/descriptor-io.ts'

/** The few ways in which a store touches files. Paths are below its root; names never come from outside undigested. */

const codes: ReadonlyMap<string, Code> = new Map<string, Code>([
  ['ENOENT', 'NOT_FOUND'],
  ['EACCES', 'DENIED'],
  ['EPERM', 'DENIED'],
  ['EROFS', 'DENIED'],
])

const hints: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'Free some space on the file system of the store, for example with "onefold gc".'],
  ['EDQUOT', 'Free some space, for example with "onefold gc": your disk quota is used up.'],
  ['EACCES', 'It belongs to another user: name a store of your own with --store, or become that user.'],
  ['EROFS', 'The file system is mounted read-only; what is there can be read with ls, cat, diff and inspect.'],
])

/** The error that one of Node's fs is to the caller of a store. */
export function fileError(action: string, path: string, error: unknown): OnefoldError {
  if (error instanceof OnefoldError) return error
  const errno = errnoOf(error)
  const hint = hints.get(errno ?? '')
  const message = `Cannot ${action} "${path}": ${errno === undefined ? String(error) : describeErrno(errno)}`
  return new OnefoldError(codes.get(errno ?? '') ?? 'IO', message, { cause: error, ...(hint && { hint }) })
}

/**
 * Opens a regular file, or returns undefined when there is none. What another user may have put in place of it (a
 * symlink, a pipe that would block, a device) is CORRUPT.
 */
export function openRegular(path: string, what: string): { fd: number; size: number } | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENAMETOOLONG') return undefined
    if (errno === 'ELOOP' || errno === 'ENOTDIR' || errno === 'ENXIO') throw notRegular(path, what)
    throw fileError(`read ${what} from`, path, error)
  }
  const stat = fstatSync(fd)
  if (stat.isFile()) return { fd, size: stat.size }
  closeSync(fd)
  throw notRegular(path, what)
}

function notRegular(path: string, what: string): OnefoldError {
  return new OnefoldError('CORRUPT', `Cannot read ${what}: "${path}" is not a regular file`)
}

/** Reads all bytes of a file of at most `max`; undefined when there is none. */
export function readWhole(path: string, what: string, max: number): Buffer | undefined {
  const file = openRegular(path, what)
  if (file === undefined) return undefined
  try {
    if (file.size > max)
      throw new OnefoldError('LIMIT', `Cannot read ${what}: it has ${file.size} bytes, at most ${max} are read`)
    const bytes = Buffer.allocUnsafe(file.size)
    let filled = 0
    while (filled < bytes.length) {
      const read = readSync(file.fd, bytes, filled, bytes.length - filled, filled)
      if (read === 0) break
      filled += read
    }
    return bytes.subarray(0, filled)
  } catch (error) {
    throw fileError(`read ${what} from`, path, error)
  } finally {
    closeSync(file.fd)
  }
}

/**
 * Writes a file, with its mode whatever the umask says: a store may be shared later, with files that were written
 * before.
 */
export function writeFile(path: string, bytes: Uint8Array, mode = 0o644): void {
  try {
    const fd = openSync(path, 'w', mode)
    try {
      fchmodSync(fd, mode)
      writeAll(fd, bytes)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError('write', path, error)
  }
}

/** Makes a folder of the store, readable for whoever gets to it. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true })
    chmodSync(path, 0o755)
  } catch (error) {
    throw fileError('make', path, error)
  }
}

/** Writes a file whose bytes survive a power cut when this returns; its name does once the folder is synced. */
export function writeSynced(path: string, bytes: Uint8Array): void {
  try {
    const fd = openSync(path, 'w', 0o644)
    try {
      fchmodSync(fd, 0o644)
      writeAll(fd, bytes)
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError('write', path, error)
  }
}

/** Replaces `path` in one step, durably. `temporary` is on the same file system. */
export function replaceFile(path: string, bytes: Uint8Array, temporary: string): void {
  try {
    writeSynced(temporary, bytes)
    renameSync(temporary, path)
    syncFolder(dirname(path))
  } catch (error) {
    dropTemporary(temporary)
    throw fileError('write', path, error)
  }
}

/**
 * Removes a temporary file where that can be done. Where it cannot, the caller has a better error to tell of, and the next
 * transaction or collection takes the file away.
 */
export function dropTemporary(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}

/** Makes names that were added, replaced or removed in a folder durable. */
export function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Lists real folders in a folder; a symlink to one leads out of the store. */
export function listFolders(path: string): string[] {
  return listFolder(path).filter((name) => lstatSync(`${path}/${name}`, { throwIfNoEntry: false })?.isDirectory())
}

/** Lists the names in a folder of the store, in code unit order. */
export function listFolder(path: string): string[] {
  try {
    return readdirSync(path).toSorted()
  } catch (error) {
    throw fileError('list', path, error)
  }
}
