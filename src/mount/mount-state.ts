/**
 * What the store remembers of a mount, which outlives the command that made it:
 *
 *     <root>/mounts/<id>/
 *       mount.json     below; written before the kernel is asked, so that no mount is ever without it
 *       root/          the mount itself, where nobody named another place
 *       upper/ work/   changes of a writable mount, where nobody named another place
 *       scratch/       only while mounting on kernels before 6.15
 *
 * A record with changes keeps its image alive: an upper directory means nothing without the image below it.
 */
import {
  closeSync,
  constants,
  fsyncSync,
  mkdirSync,
  readFileSync,
  readdirSync,
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

/** What mounting needs to know of a store. Paths are ordinary strings. */
export interface MountStore {
  readonly root: string
  /** The directory objects lie below as `ab/cdef…`. */
  readonly objectsPath: string
  /** `require`: only what is sealed with fs-verity may be mounted. */
  readonly verity: 'auto' | 'require' | 'off'
  imagePath(digest: VerityDigest): string
}

export interface MountRecord {
  /** 12 hex digits. */
  readonly id: string
  readonly image: VerityDigest
  /** What the user called the image. */
  readonly name: string
  /** Where it is mounted, or was last. */
  readonly target: string
  /** We made the target directory and take it away again. */
  readonly ownsTarget: boolean
  /** The folder with `upper` and `work`, of a writable mount. */
  readonly changes: string | undefined
  /** We made that folder, below this one. */
  readonly ownsChanges: boolean
  /** What the root of the changes looked like when it was new: with nothing in it and this unchanged, nothing was changed. */
  readonly untouched: string | undefined
  /** `unmounted`: taken down in order, changes kept. `lazy`: taken down while in use, which may go on. */
  readonly state: 'mounted' | 'unmounted' | 'lazy'
  /** Which boot, and which mount namespace of it, the mount was made in. */
  readonly boot: string
  readonly namespace: string
}

const idSyntax = /^[0-9a-f]{12}$/
const fileVersion = 1

function isVerityDigest(text: string): text is VerityDigest {
  return /^[0-9a-f]{64}$/.test(text)
}

export function isMountId(text: string): boolean {
  return idSyntax.test(text)
}

export function mountsFolder(store: MountStore): string {
  return join(store.root, 'mounts')
}

export function mountFolder(store: MountStore, id: string): string {
  return join(store.root, 'mounts', id)
}

/** Makes the folder of a new mount; ids are random, so EEXIST would be a bug. */
export function makeMountFolder(store: MountStore, id: string): void {
  makeFolder(mountFolder(store, id))
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, 0o700)
  } catch (cause) {
    const errno = errnoOf(cause) ?? ''
    throw new OnefoldError(
      ['EACCES', 'EPERM', 'EROFS'].includes(errno) ? 'DENIED' : 'IO',
      `Cannot make "${path}": ${describeErrno(errno)}`,
      { cause, hint: 'A mount keeps what it is made of in the store, which has to be writable and have space left.' },
    )
  }
}

/**
 * Takes away the folder of a mount that is not mounted, and what we made in it. Every piece by its name, and
 * directories that may be mount points by rmdir, which a mounted one refuses: a slip must not delete through a mount.
 */
export function removeMountFolder(store: MountStore, id: string): void {
  const folder = mountFolder(store, id)
  for (const name of ['root', 'scratch']) removeDirectory(join(folder, name))
  for (const name of ['upper', 'work', 'mount.json', 'mount.json.new']) {
    rmSync(join(folder, name), { recursive: true, force: true })
  }
  rmdirSync(folder)
}

/** Removes an empty directory; one that is absent, in use or not empty is left as it is. */
export function removeDirectory(path: string): void {
  try {
    rmdirSync(path)
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw error
  }
}

/** Who makes, changes or removes one mount holds the folder of all shared; who tidies up holds it alone. */
export function lockMounts(store: MountStore, mode: 'shared' | 'exclusive'): Disposable {
  try {
    makeFolder(mountsFolder(store))
  } catch (error) {
    if (!(error instanceof OnefoldError) || errnoOf(error.cause) !== 'EEXIST') throw error
  }
  const fd = openFolder(mountsFolder(store))
  flock(fd, mode)
  return { [Symbol.dispose]: () => closeSync(fd) }
}

/** Throws BUSY when another command changes this mount. */
export function lockMount(store: MountStore, id: string): Disposable {
  const fd = openFolder(mountFolder(store, id))
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
  const folder = mountFolder(store, record.id)
  const durable = record.untouched !== undefined
  const file = join(folder, 'mount.json')
  writeFileSync(`${file}.new`, `${JSON.stringify({ version: fileVersion, ...record }, undefined, 2)}\n`, {
    flush: durable,
  })
  renameSync(`${file}.new`, file)
  if (durable) syncFolder(folder)
}

function syncFolder(folder: string): void {
  const fd = openFolder(folder)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Records of all mounts this store knows of, by id. A folder without one is a mount that is just being made or removed. */
export function readMountRecords(store: MountStore): MountRecord[] {
  return mountIds(store).flatMap((id) => readMountRecord(store, id) ?? [])
}

export function mountIds(store: MountStore): string[] {
  try {
    return readdirSync(mountsFolder(store)).filter(isMountId).sort()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}

export function readMountRecord(store: MountStore, id: string): MountRecord | undefined {
  const file = join(mountFolder(store, id), 'mount.json')
  try {
    const text = readFileSync(file, 'utf8')
    // A record without changes is not synced: a power cut may leave an empty file of it, and surely no mount.
    return text === '' ? undefined : parseMountRecord(text, id)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Reads mount.json. Throws CORRUPT for anything that `writeMountRecord` did not write. */
export function parseMountRecord(text: string, id: string): MountRecord {
  const bad = (detail: string): OnefoldError =>
    new OnefoldError('CORRUPT', `Cannot read the record of mount ${id}: ${detail}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw bad('it is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw bad('it is not an object')
  const fields = new Map(Object.entries(value))
  if (fields.get('version') !== fileVersion) {
    throw bad(`its version is ${JSON.stringify(fields.get('version'))}, expected ${fileVersion}`)
  }
  const string = (key: string): string => {
    const field: unknown = fields.get(key)
    if (typeof field !== 'string') throw bad(`${key} is not a string`)
    return field
  }
  const state = string('state')
  if (state !== 'mounted' && state !== 'unmounted' && state !== 'lazy')
    throw bad(`its state is ${JSON.stringify(state)}`)
  if (string('id') !== id) throw bad(`it is that of ${JSON.stringify(string('id'))}`)
  const image = string('image')
  if (!isVerityDigest(image)) throw bad(`its image is ${JSON.stringify(image)}`)
  return {
    id,
    image,
    name: string('name'),
    target: string('target'),
    ownsTarget: fields.get('ownsTarget') === true,
    changes: fields.has('changes') ? string('changes') : undefined,
    ownsChanges: fields.get('ownsChanges') === true,
    untouched: fields.has('untouched') ? string('untouched') : undefined,
    state,
    boot: string('boot'),
    namespace: string('namespace'),
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
