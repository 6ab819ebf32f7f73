import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { OnefoldError } from '../error.ts'
import { type Entry, type EntryType, noContent, noXattrs } from '../formats/entry.ts'
import { maxPathBytes, quoteName } from '../formats/path.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'
import type { StatRecord } from '../linux/stat.ts'
import { pathToBytes, pathToUtf8 } from '../paths.ts'
import { LinkedInodes } from './linked-inodes.ts'
import { readXattrs } from './read-xattrs.ts'
import { changedWhileRead, scanError, scanning } from './scan-error.ts'
import { type WalkedName, readLink, walkTree } from './walk-tree.ts'

/** A name of a directory tree as an entry. */
export interface WalkedEntry {
  readonly entry: Entry
  /** st_ctime in nanoseconds: changes whenever the inode does, and nobody can set it back. */
  readonly changed: bigint
  /**
   * The bytes of a file, exactly as many as `entry.content` says; for everything else nothing. To be read before the
   * next name is asked for; each chunk is good until the next one.
   */
  content(): Generator<Uint8Array>
}

export interface WalkEntriesOptions {
  /** Directories whose contents are left out, by identity (`StatRecord`). */
  readonly omit: ReadonlySet<string>
  readonly onWarning: (message: string) => void
  /** Whether sockets are given out; layers of images cannot hold them, and they are left out there with a warning. */
  readonly sockets?: 'keep' | 'leaveOut'
}

/**
 * Every name of a tree as a tar has it, in the order of `walkTree`: of hard links the first name is the file, further ones
 * point to it. What is mounted inside the tree belongs to another one, and is left out with a warning.
 * @param root one char per byte; may be a symlink
 */
export function* walkEntries(root: string, options: WalkEntriesOptions): Generator<WalkedEntry> {
  const entries = new Entries(options)
  for (const name of walkTree(root, { followRoot: true })) {
    const found = entries.entryOf(name)
    if (found !== undefined) yield found
  }
}

const chunkSize = 1024 * 1024

class Entries {
  readonly #options: WalkEntriesOptions
  /** The first path of each file that has further ones. */
  readonly #firstPaths = new LinkedInodes<string>()
  readonly #buffer = new Uint8Array(chunkSize)

  constructor(options: WalkEntriesOptions) {
    this.#options = options
  }

  entryOf(name: WalkedName): WalkedEntry | undefined {
    if (name.path.length > maxPathBytes) throw tooLong(name)
    const type = typeOf(name.stat.mode)
    if (type === 'socket' && this.#options.sockets !== 'keep')
      return this.#warn(name, 'a socket cannot be in a layer; it is left out')
    if (type === 'directory') this.#mayLeaveOut(name)
    const first = type === 'directory' ? undefined : this.#firstPaths.firstOf(name.stat, name.path)
    try {
      return this.#found(name, type, first)
    } catch (error) {
      throw scanError('read', name.fullPath, error)
    }
  }

  #mayLeaveOut(directory: WalkedName): void {
    // Only directories are compared: overlayfs gives its files the device numbers of its layers.
    const why = directory.isMountPoint
      ? 'another file system is mounted here; it is left out'
      : this.#options.omit.has(directory.stat.identity)
        ? 'its contents are left out'
        : undefined
    if (why === undefined) return
    directory.leaveOut()
    this.#warn(directory, why)
  }

  #found({ path, stat, file, fullPath }: WalkedName, inodeType: EntryType, first: string | undefined): WalkedEntry {
    const type = first === undefined ? inodeType : 'hardlink'
    const { size, ino, ctimeNs } = stat
    const isDevice = type === 'char' || type === 'block'
    const entry: Entry = {
      path,
      type,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      mtime: stat.mtime,
      mtimeNsec: stat.mtimeNsec,
      major: isDevice ? stat.rdevMajor : 0,
      minor: isDevice ? stat.rdevMinor : 0,
      link: first ?? (type === 'symlink' ? readLink(file) : ''),
      xattrs: type === 'hardlink' ? noXattrs : readXattrs(file, () => true),
      content: type === 'file' && size > 0 ? { kind: 'unknown', size } : noContent,
    }
    if (typeof file === 'number' || entry.content === noContent) return { entry, changed: ctimeNs, content: noBytes }
    const expected = { file, fullPath, size, ino, ctimeNs }
    return { entry, changed: ctimeNs, content: () => readContent(expected, this.#buffer) }
  }

  #warn({ fullPath }: WalkedName, why: string): undefined {
    this.#options.onWarning(`"${pathToUtf8(fullPath)}": ${why}`)
  }
}

interface ExpectedFile extends Pick<StatRecord, 'size' | 'ino' | 'ctimeNs'> {
  /** A path through the open parent. */
  readonly file: string
  readonly fullPath: string
}

/** The bytes of a file; an error when there are fewer, or when somebody writes to it meanwhile. */
function* readContent(expected: ExpectedFile, buffer: Uint8Array): Generator<Uint8Array> {
  const { file, fullPath, size } = expected
  // O_NONBLOCK: a FIFO that took the file's place must not block before it is noticed.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const fd = scanning('read', fullPath, () => openSync(pathToBytes(file), flags))
  try {
    for (let left = size; left > 0;) {
      const read = scanning('read', fullPath, () => readSync(fd, buffer, 0, Math.min(buffer.length, left), null))
      if (read === 0) throw changedWhileRead('read', fullPath)
      left -= read
      yield buffer.subarray(0, read)
    }
    const after = fstatSync(fd, { bigint: true })
    if (after.ino !== expected.ino || after.ctimeNs !== expected.ctimeNs) throw changedWhileRead('read', fullPath)
  } finally {
    closeSync(fd)
  }
}

function* noBytes(): Generator<Uint8Array> {}

const types: ReadonlyMap<number, EntryType> = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'char'],
  [S_IFBLK, 'block'],
  [S_IFIFO, 'fifo'],
])

function typeOf(mode: number): EntryType {
  return types.get(mode & S_IFMT) ?? 'socket'
}

function tooLong({ path, fullPath }: WalkedName): OnefoldError {
  const found = `its path has ${path.length} bytes, expected at most ${maxPathBytes}`
  return new OnefoldError('UNSUPPORTED', `Cannot read ${quoteName(fullPath)}: ${found}`)
}
