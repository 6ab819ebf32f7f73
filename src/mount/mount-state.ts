/**
 * The folder of a mount, and who may change it:
 *
 *     <root>/mounts/<id>/
 *       mount.json     its record; written before the kernel is asked, so that no mount is ever without it
 *       root/          the mount itself, where nobody named another place
 *       upper/ work/   changes of a writable mount, where nobody named another place
 *       scratch/       only while mounting on kernels before 6.15
 */
import {
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError, describeErrno, errnoOf } from '../error.ts'
import { open } from '../linux/file.ts'
import { flock, tryFlock } from '../linux/flock.ts'
import { pathFromUtf8 } from '../paths.ts'
import { type MountRecord, formatMountRecord, mountFile, mountPath, mountsPath } from '../store/mount-record.ts'

/** A store as mounting needs to know it. Paths are ordinary strings. */
export interface MountStore {
  readonly root: string
  /** The directory objects lie below as `ab/cdef…`. */
  readonly objectsPath: string
  /** `require`: only what is sealed with fs-verity may be mounted. */
  readonly verity: 'auto' | 'require' | 'off'
  imagePath(digest: VerityDigest): string
}

/** Makes the folder of a new mount; ids are random, so EEXIST would be a bug. */
export function makeMountFolder(store: MountStore, id: string): void {
  makeFolder(mountPath(store.root, id))
}

function makeFolder(path: string): void {
  attempt('make', path, () => mkdirSync(path, 0o700))
}

/** Does something to a path; an error of Node's fs becomes one of ours. */
export function attempt(action: 'make' | 'write' | 'remove', path: string, work: () => void): void {
  try {
    work()
  } catch (cause) {
    const errno = errnoOf(cause)
    if (errno === undefined || cause instanceof OnefoldError) throw cause
    throw new OnefoldError(
      ['EACCES', 'EPERM', 'EROFS'].includes(errno) ? 'DENIED' : 'IO',
      `Cannot ${action} "${path}": ${describeErrno(errno)}`,
      { cause, hint: 'A mount keeps what it is made of in the store, which has to be writable and have space left.' },
    )
  }
}

/**
 * Cleans up after an error, step by step, as far as that can be done: the caller has a better error to tell of. What stays
 * is swept by the next garbage collection.
 */
export function tidyUp(...steps: (() => void)[]): void {
  for (const step of steps)
    try {
      step()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
    }
}

/**
 * Takes away the folder of a mount that is not mounted, and what we made in it. Every piece by its name, and
 * directories that may be mount points by rmdir, which a mounted one refuses: a slip must not delete through a mount.
 */
export function removeMountFolder(store: MountStore, id: string): void {
  const folder = mountPath(store.root, id)
  for (const name of ['root', 'scratch']) removeDirectory(join(folder, name))
  for (const name of ['upper', 'work', mountFile, `${mountFile}.new`]) removeTree(join(folder, name))
  attempt('remove', folder, () => rmdirSync(folder))
}

/** Removes a file, or a directory with everything in it, if there is one. */
export function removeTree(path: string): void {
  attempt('remove', path, () => rmSync(path, { recursive: true, force: true }))
}

/** Removes an empty directory; one that is absent, in use or not empty is left as it is. */
export function removeDirectory(path: string): void {
  attempt('remove', path, () => {
    try {
      rmdirSync(path)
    } catch (error) {
      if (!['ENOENT', 'ENOTEMPTY', 'EBUSY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error
    }
  })
}

/** Locks the folder of all mounts: shared to make, change or remove one of them, exclusive to tidy up. */
export function lockMounts(store: MountStore, mode: 'shared' | 'exclusive'): Disposable {
  try {
    makeFolder(mountsPath(store.root))
  } catch (error) {
    if (!(error instanceof OnefoldError) || errnoOf(error.cause) !== 'EEXIST') throw error
  }
  const fd = openFolder(mountsPath(store.root))
  flock(fd, mode)
  return { [Symbol.dispose]: () => closeSync(fd) }
}

/** Throws BUSY when another command changes this mount. */
export function lockMount(store: MountStore, id: string): Disposable {
  const fd = openFolder(mountPath(store.root, id))
  if (!tryFlock(fd, 'exclusive')) {
    closeSync(fd)
    throw new OnefoldError('BUSY', `Cannot change mount ${id}: another command is at it`)
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}

function openFolder(path: string): number {
  return open(pathFromUtf8(path), constants.O_RDONLY | constants.O_DIRECTORY)
}

/** On the disk before it returns, where losing the record would lose changes. */
export function writeMountRecord(store: MountStore, record: MountRecord): void {
  const folder = mountPath(store.root, record.id)
  const durable = record.untouched !== undefined
  const file = join(folder, mountFile)
  attempt('write', file, () => {
    writeFileSync(`${file}.new`, formatMountRecord(record), { flush: durable })
    renameSync(`${file}.new`, file)
    if (durable) syncFolder(folder)
  })
}

function syncFolder(folder: string): void {
  const fd = openFolder(folder)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** With symlinks followed, where there is such a path. */
export function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}
