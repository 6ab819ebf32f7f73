import { constants, type BigIntStats } from 'node:fs'
import { type FileHandle, lstat, open } from 'node:fs/promises'
import { join } from 'node:path'
import type { AbortOptions } from '../../abort.ts'
import { OnefoldError, describeErrno, errnoOf } from '../../error.ts'
import { type BlobOptions, type FileRange, documentMax } from '../source.ts'

/** Named files that belong together: those of a directory, or the members of an archive. */
export interface FileSet {
  /** Path of the directory or archive, for errors. */
  readonly path: string
  /** Finds the regular file `name` (`blobs/sha256/…`); undefined when there is none. */
  locate(name: string): Promise<FileRange | undefined>
  close(): Promise<void>
}

/** Number of bytes read at once: large enough that the call costs nothing, small enough for a cache. */
const chunkSize = 1024 * 1024

/**
 * Opens the files below a directory. Only regular files are read: a stranger's layout could hold symlinks into the rest
 * of the machine, and opening a FIFO waits for ever. (Its directories may be links, as in layouts that share their
 * blobs: names come from digests and constants, never from outside.)
 */
export async function directoryFiles(path: string): Promise<FileSet> {
  const stats = await fileStatus(path)
  if (stats === undefined) throw new OnefoldError('NOT_FOUND', `Cannot open "${path}": there is no such directory`)
  const real = stats.isSymbolicLink() ? await fileStatus(`${path}/`) : stats
  if (real?.isDirectory() !== true) throw new OnefoldError('BAD_FORMAT', `Cannot open "${path}": it is no directory`)
  return {
    path,
    async locate(name) {
      const full = join(path, name)
      const found = await fileStatus(full)
      if (found === undefined) return undefined
      if (found.isFile()) return { path: full, offset: 0, length: Number(found.size) }
      const kind = found.isSymbolicLink() ? 'a symbolic link' : 'no regular file'
      throw new OnefoldError('BAD_FORMAT', `Cannot read "${full}": it is ${kind}`)
    },
    async close() {},
  }
}

/** Reads a small file as a whole; undefined when it is not there. Throws LIMIT above `documentMax`. */
export async function readDocument(
  files: FileSet,
  name: string,
  options?: AbortOptions,
): Promise<Uint8Array | undefined> {
  const range = await files.locate(name)
  return range && readRangeWhole(range, `${files.path}/${name}`, options)
}

export async function readRangeWhole(range: FileRange, what: string, options?: AbortOptions): Promise<Uint8Array> {
  if (range.length > documentMax)
    throw new OnefoldError(
      'LIMIT',
      `Cannot read "${what}": it has ${range.length} bytes, at most ${documentMax} are read`,
    )
  const bytes = new Uint8Array(range.length)
  let filled = 0
  for await (const chunk of readRange(range, { ...options, lent: true })) {
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  return bytes
}

/** Yields the bytes of a range in order, from `offset` of it to `end`. Throws IO when the file is shorter. */
export async function* readRange(range: FileRange, options: BlobOptions = {}): AsyncGenerator<Uint8Array> {
  await using file = await openFile(range.path)
  let at = range.offset + (options.offset ?? 0)
  const end = range.offset + (options.end ?? range.length)
  const lent = options.lent === true ? new Uint8Array(Math.min(chunkSize, Math.max(0, end - at))) : undefined
  while (at < end) {
    options.signal?.throwIfAborted()
    const length = Math.min(chunkSize, end - at)
    const chunk = lent?.subarray(0, length) ?? new Uint8Array(length)
    const { bytesRead } = await file.read(chunk, 0, length, at)
    if (bytesRead === 0)
      throw new OnefoldError('IO', `Cannot read "${range.path}": it ends at byte ${at}, expected ${end}`)
    at += bytesRead
    yield chunk.subarray(0, bytesRead)
  }
}

/** Opens a regular file to read; a FIFO or device that took its place meanwhile neither blocks nor passes. */
export async function openFile(path: string): Promise<FileHandle> {
  const file = await attempt(path, () => open(path, constants.O_RDONLY | constants.O_NONBLOCK))
  const stats = await file.stat()
  if (stats.isFile()) return file
  await file.close()
  throw new OnefoldError('BAD_FORMAT', `Cannot read "${path}": it is no regular file`)
}

async function fileStatus(path: string): Promise<BigIntStats | undefined> {
  try {
    return await attempt(path, () => lstat(path, { bigint: true }))
  } catch (error) {
    if (error instanceof OnefoldError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}

/** Turns an error of the file system into one of ours that names the path. */
export async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (cause) {
    throw fileError(path, cause)
  }
}

export function fileError(path: string, cause: unknown): OnefoldError {
  const errno = errnoOf(cause)
  if (errno === 'ENOENT' || errno === 'ENOTDIR')
    return new OnefoldError('NOT_FOUND', `Cannot read "${path}": there is no such file`, { cause })
  if (errno === 'EACCES' || errno === 'EPERM')
    return new OnefoldError('DENIED', `Cannot read "${path}": permission denied`, { cause })
  return new OnefoldError(
    'IO',
    `Cannot read "${path}": ${errno === undefined ? String(cause) : describeErrno(errno)}`,
    { cause },
  )
}
