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
import { pathFromBytes, pathToBytes, pathToUtf8 } from '../paths.ts'
import { fileError } from '../sources/local/file-set.ts'

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
  using walk = new Walk(root, options)
  yield* walk.names()
}

/** A directory that is being walked: open until its last name is done. */
interface OpenDirectory {
  readonly path: string
  readonly fd: number
  readonly device: bigint
  names: readonly string[]
  next: number
}

class Walk {
  readonly #root: string
  readonly #options: WalkOptions
  /** From the top to where the walk is; a stack of our own, as a tree may be deeper than the engine's. */
  readonly #open: OpenDirectory[] = []
  /** `device:inode` of files with further names → the first. */
  readonly #firstNames = new Map<string, string>()
  readonly #buffer = new Uint8Array(chunkSize)

  constructor(root: string, options: WalkOptions) {
    this.#root = root
    this.#options = options
  }

  *names(): Generator<Found> {
    const top = guarded(this.#root, () =>
      openSync(pathToBytes(`${this.#root}/`), constants.O_RDONLY | constants.O_DIRECTORY),
    )
    yield this.#enter('', top)
    for (let at = this.#open.at(-1); at !== undefined; at = this.#open.at(-1)) {
      const name = at.names[at.next++]
      const found = name === undefined ? this.#leave() : this.#visit(at, name)
      if (found !== undefined) yield found
    }
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }

  #leave(): undefined {
    const done = this.#open.pop()
    if (done !== undefined) closeSync(done.fd)
  }

  /** What is at one name of an open directory; undefined when it is left out. */
  #visit(parent: OpenDirectory, name: string): Found | undefined {
    const path = parent.path === '' ? name : `${parent.path}/${name}`
    if (path.length > maxPathBytes)
      throw new OnefoldError('UNSUPPORTED', `Cannot read "${this.#show(path)}": its path has ${path.length} bytes`)
    const door = `/proc/self/fd/${parent.fd}/${name}`
    const stats = guarded(this.#show(path), () => lstatSync(pathToBytes(door), { bigint: true }))
    const type = typeOf(stats)
    if (type === 'socket') return this.#warn(path, 'a socket cannot be in a tar; it is left out')
    if (type === 'directory') return this.#subdirectory(parent, path, door, stats)
    const first = this.#firstName(path, stats)
    return this.#found(path, first === undefined ? type : 'hardlink', stats, door, first)
  }

  #subdirectory(parent: OpenDirectory, path: string, door: string, stats: BigIntStats): Found {
    const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
    const fd = guarded(this.#show(path), () => openSync(pathToBytes(door), flags))
    const found = this.#enter(path, fd, parent.device)
    if (fstatSync(fd, { bigint: true }).ino !== stats.ino) throw changedWhileRead(this.#show(path))
    return found
  }

  /** Puts an open directory on the stack, without names when its contents are left out. The stack closes `fd`. */
  #enter(path: string, fd: number, parentDevice?: bigint): Found {
    const stats = fstatSync(fd, { bigint: true })
    const why = this.#leftOut(stats, parentDevice)
    const directory: OpenDirectory = { path, fd, device: stats.dev, names: [], next: 0 }
    this.#open.push(directory)
    if (why === undefined) directory.names = this.#list(path, fd)
    else this.#warn(path, why)
    return this.#found(path, 'directory', stats, fd)
  }

  #list(path: string, fd: number): string[] {
    const names = guarded(this.#show(path), () =>
      readdirSync(pathToBytes(`/proc/self/fd/${fd}`), { encoding: 'buffer' }),
    )
    return names.map(pathFromBytes).toSorted()
  }

  #leftOut(stats: BigIntStats, parentDevice: bigint | undefined): string | undefined {
    // Only directories are compared: overlayfs gives its files the device numbers of its layers.
    if (parentDevice !== undefined && stats.dev !== parentDevice)
      return 'another file system is mounted here; it is left out'
    return this.#options.omit.has(inodeKey(stats)) ? 'its contents are left out' : undefined
  }

  #firstName(path: string, stats: BigIntStats): string | undefined {
    if (stats.nlink < 2n) return undefined
    const key = inodeKey(stats)
    const first = this.#firstNames.get(key)
    if (first === undefined) this.#firstNames.set(key, path)
    return first
  }

  /** `door` leads to the inode: a path for what may be a symlink, the descriptor of a directory. */
  #found(path: string, type: EntryType, stats: BigIntStats, door: string | number, first = ''): Found {
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
      link: type === 'symlink' && typeof door === 'string' ? readLink(shown, door) : first,
      xattrs: type === 'hardlink' ? noXattrs : readXattrs(shown, door),
      content: type === 'file' && stats.size > 0n ? { kind: 'unknown', size: Number(stats.size) } : noContent,
    }
    return { entry, changed: stats.ctimeNs, content: () => readContent(shown, door, type, stats, this.#buffer) }
  }

  #warn(path: string, why: string): undefined {
    this.#options.onWarning(`"${this.#show(path)}": ${why}`)
  }

  /** The path for people, who read UTF-8. */
  #show(path: string): string {
    return pathToUtf8(path === '' ? this.#root : `${this.#root}/${path}`)
  }
}

/** The bytes of a file; an error when there are fewer, or when somebody writes to it meanwhile. */
function* readContent(
  shown: string,
  door: string | number,
  type: EntryType,
  stats: BigIntStats,
  buffer: Uint8Array,
): Generator<Uint8Array> {
  if (type !== 'file' || typeof door === 'number' || stats.size === 0n) return
  // O_NONBLOCK: a FIFO that took the file's place must not block before it is noticed.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const fd = guarded(shown, () => openSync(pathToBytes(door), flags))
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
  return pathFromBytes(guarded(shown, () => readlinkSync(pathToBytes(door), { encoding: 'buffer' })))
}

function readXattrs(shown: string, door: string | number): Xattrs {
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
