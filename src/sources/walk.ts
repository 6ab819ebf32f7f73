import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  readlinkSync,
} from 'node:fs'
import { OnefoldError } from '../error.ts'
import { type Entry, type EntryType, type Xattrs, noContent, noXattrs } from '../formats/entry.ts'
import { maxPathBytes } from '../formats/path.ts'
import { isErrno } from '../linux/libc.ts'
import { getXattr, listXattrs } from '../linux/xattr.ts'
import { fileError } from './files.ts'

/** One name of a directory tree. */
export interface Found {
  readonly entry: Entry
  /** st_ctime in nanoseconds: changes whenever the inode does, and nobody can set it back. */
  readonly changed: bigint
  /**
   * The bytes of a file, exactly as many as `entry.content` says; for everything else nothing. To be read before the
   * next name is asked for; each chunk is good until the next one.
   */
  content(): Generator<Uint8Array>
}

export interface WalkOptions {
  /** Directories whose contents are left out, by `device:inode`. */
  readonly omit: ReadonlySet<string>
  readonly onWarning: (message: string) => void
}

const chunkSize = 1024 * 1024

/**
 * Every name below a directory, the directory itself first, parents before children, siblings in byte order. Hard links
 * come as the tar has them: the first name is the file, further ones point to it. Left out, with a warning: sockets,
 * which no tar can hold, and what is mounted inside the tree, which belongs to another one.
 *
 * Whoever writes to the tree meanwhile must not lead the walk out of it: every directory is held open, every name is
 * looked up inside that descriptor, and symlinks are never followed.
 * @param root one char per byte; a symlink here is followed, it is the user's own word
 */
export function* walkTree(root: string, options: WalkOptions): Generator<Found> {
  const walk = new Walk(root, options)
  const fd = guarded(root, () => openSync(bytesOf(`${root}/`), constants.O_RDONLY | constants.O_DIRECTORY))
  try {
    yield* walk.directory('', fd)
  } finally {
    closeSync(fd)
  }
}

class Walk {
  readonly #root: string
  readonly #options: WalkOptions
  /** `device:inode` of files with further names → the first. */
  readonly #firstNames = new Map<string, string>()
  readonly #buffer = new Uint8Array(chunkSize)

  constructor(root: string, options: WalkOptions) {
    this.#root = root
    this.#options = options
  }

  *directory(path: string, fd: number, parentDevice?: bigint): Generator<Found> {
    const stats = fstatSync(fd, { bigint: true })
    yield this.#found(path, 'directory', stats, `/proc/self/fd/${fd}`)
    const why = this.#leftOut(stats, parentDevice)
    if (why !== undefined) return this.#warn(path, why)
    const names = guarded(this.#show(path), () => readdirSync(bytesOf(`/proc/self/fd/${fd}`), { encoding: 'buffer' }))
    for (const name of names.map((bytes) => bytes.toString('latin1')).toSorted())
      yield* this.#name(path === '' ? name : `${path}/${name}`, `/proc/self/fd/${fd}/${name}`, stats.dev)
  }

  #leftOut(stats: BigIntStats, parentDevice: bigint | undefined): string | undefined {
    // Only directories are compared: overlayfs gives its files the device numbers of its layers.
    if (parentDevice !== undefined && stats.dev !== parentDevice)
      return 'another file system is mounted here; it is left out'
    return this.#options.omit.has(inodeKey(stats)) ? 'its contents are left out' : undefined
  }

  *#name(path: string, door: string, device: bigint): Generator<Found> {
    if (path.length > maxPathBytes)
      throw new OnefoldError('UNSUPPORTED', `Cannot read "${this.#show(path)}": its path has ${path.length} bytes`)
    const stats = guarded(this.#show(path), () => lstatSync(bytesOf(door), { bigint: true }))
    const type = typeOf(stats)
    if (type === 'socket') return this.#warn(path, 'a socket cannot be in a tar; it is left out')
    if (type === 'directory') return yield* this.#subdirectory(path, door, stats, device)
    const first = this.#firstName(path, stats)
    yield this.#found(path, first === undefined ? type : 'hardlink', stats, door, first)
  }

  *#subdirectory(path: string, door: string, stats: BigIntStats, device: bigint): Generator<Found> {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
    const fd = guarded(this.#show(path), () => openSync(bytesOf(door), flags))
    try {
      if (fstatSync(fd).ino !== Number(stats.ino)) throw changedWhileRead(this.#show(path))
      yield* this.directory(path, fd, device)
    } finally {
      closeSync(fd)
    }
  }

  #firstName(path: string, stats: BigIntStats): string | undefined {
    if (stats.nlink < 2n) return undefined
    const key = inodeKey(stats)
    const first = this.#firstNames.get(key)
    if (first === undefined) this.#firstNames.set(key, path)
    return first
  }

  #found(path: string, type: EntryType, stats: BigIntStats, door: string, first = ''): Found {
    const shown = this.#show(path)
    const device = type === 'char' || type === 'block' ? stats.rdev : 0n
    const entry: Entry = {
      path,
      type,
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      ...timeOf(stats.mtimeNs),
      ...deviceOf(device),
      link: type === 'symlink' ? readLink(shown, door) : first,
      xattrs: type === 'hardlink' ? noXattrs : readXattrs(shown, door),
      content: type === 'file' && stats.size > 0n ? { kind: 'unknown', size: Number(stats.size) } : noContent,
    }
    return { entry, changed: stats.ctimeNs, content: () => readContent(shown, door, type, stats, this.#buffer) }
  }

  #warn(path: string, why: string): void {
    this.#options.onWarning(`"${this.#show(path)}": ${why}`)
  }

  /** The path for people, who read UTF-8. */
  #show(path: string): string {
    return bytesOf(path === '' ? this.#root : `${this.#root}/${path}`).toString()
  }
}

/** The bytes of a file; an error when there are fewer, or when somebody writes to it meanwhile. */
function* readContent(
  shown: string,
  door: string,
  type: EntryType,
  stats: BigIntStats,
  buffer: Uint8Array,
): Generator<Uint8Array> {
  if (type !== 'file' || stats.size === 0n) return
  // O_NONBLOCK: a FIFO that took the file's place must not block before it is noticed.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const fd = guarded(shown, () => openSync(bytesOf(door), flags))
  try {
    for (let left = Number(stats.size); left > 0;) {
      const read = guarded(shown, () => readSync(fd, buffer, 0, Math.min(buffer.length, left), null))
      if (read === 0) throw changedWhileRead(shown)
      left -= read
      yield buffer.subarray(0, read)
    }
    const after = fstatSync(fd, { bigint: true })
    if (after.ino !== stats.ino || after.ctimeNs !== stats.ctimeNs) throw changedWhileRead(shown)
  } finally {
    closeSync(fd)
  }
}

export function changedWhileRead(shown: string): OnefoldError {
  return new OnefoldError('DIGEST_MISMATCH', `Cannot read "${shown}": it changed while the tree was being read`, {
    hint: 'Stop what writes there, or read a snapshot or a copy.',
  })
}

/** `device:inode`, the identity of a file while it exists. */
export function inodeKey(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`
}

function typeOf(stats: BigIntStats): EntryType {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  if (stats.isSymbolicLink()) return 'symlink'
  if (stats.isCharacterDevice()) return 'char'
  if (stats.isBlockDevice()) return 'block'
  return stats.isFIFO() ? 'fifo' : 'socket'
}

/** Nanoseconds since 1970, possibly negative, as whole seconds and what is added to them. */
function timeOf(nanoseconds: bigint): Pick<Entry, 'mtime' | 'mtimeNsec'> {
  const mtimeNsec = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return { mtime: Number((nanoseconds - mtimeNsec) / 1_000_000_000n), mtimeNsec: Number(mtimeNsec) }
}

/** glibc's 64-bit dev_t (sys/sysmacros.h). */
function deviceOf(rdev: bigint): Pick<Entry, 'major' | 'minor'> {
  return {
    major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
    minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n)),
  }
}

function readLink(shown: string, door: string): string {
  return guarded(shown, () => readlinkSync(bytesOf(door), { encoding: 'buffer' })).toString('latin1')
}

function readXattrs(shown: string, door: string): Xattrs {
  try {
    const names = listXattrs(door)
    if (names.length === 0) return noXattrs
    return new Map(
      names.toSorted().flatMap((name) => {
        const value = getXattr(door, name)
        return value === undefined ? [] : [[name, value] as const]
      }),
    )
  } catch (cause) {
    if (isErrno(cause, 'ENOTSUP', 'EOPNOTSUPP')) return noXattrs
    throw new OnefoldError('IO', `Cannot read the extended attributes of "${shown}"`, { cause })
  }
}

/** What the file system refuses, told with the path that the user knows. */
function guarded<T>(shown: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw fileError(shown, cause)
  }
}

function bytesOf(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}
