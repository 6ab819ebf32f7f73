import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import { OnefoldError } from '../error.ts'
import { maxNameBytes, quoteName } from '../formats/path.ts'
import { S_IFDIR, S_IFMT } from '../formats/tree.ts'
import { openDirectoryAt, readNames } from '../linux/directory.ts'
import { StatRecord } from '../linux/stat.ts'
import { pathToBytes } from '../paths.ts'
import { changedWhileRead, scanError } from './scan-error.ts'

/** A name of a directory tree. Paths have one char per byte. */
export interface WalkedName {
  /** The path below the root; '' is the root itself. */
  readonly path: string
  /** The last part of the path. */
  readonly name: string
  /** The path as the caller knows it: the root that was given, and the path below it. */
  readonly fullPath: string
  /** How many directories lie above: 0 is the root. */
  readonly depth: number
  /** The inode as it was when the walk came to it. */
  readonly stat: StatRecord
  /**
   * A way to the inode: the descriptor of a directory, for everything else a path through the open parent. Calls that would
   * follow a symlink must be told not to.
   */
  readonly file: string | number
  /** Whether it is a directory, and of another file system than the directory it lies in. */
  readonly isMountPoint: boolean
  /** Leaves out what is in the directory. */
  leaveOut(): void
}

export interface TreeWalkOptions {
  /** Whether the root may be a symlink, which is then followed: it is the user's own word. Default: it is refused. */
  readonly followRoot?: boolean
}

/**
 * Walks a directory tree: every name, the root first, parents before children, siblings in byte order. It is the same object
 * each time, good until the next: a system has more files than there is room for objects.
 *
 * Whoever writes to the tree meanwhile cannot lead the walk out of it: directories are held open, names are looked up
 * inside them, and symlinks are never followed. A directory that another one takes the place of before it is open is an
 * error. Other changes show to those who compare `stat` with what they read later.
 * @throws ScanError with what the system refused, and the path
 */
export function* walkTree(root: string, options: TreeWalkOptions = {}): Generator<WalkedName> {
  using walk = new TreeWalk(root)
  walk.enterRoot(options.followRoot ?? false)
  do yield walk
  while (walk.next())
}

/** The path of something in a tree as the one who named the root knows it. */
export function pathInTree(root: string, path: string): string {
  if (path === '') return root
  return root.endsWith('/') ? root + path : `${root}/${path}`
}

/** The target of a symlink where a walk is. */
export function readLink(file: WalkedName['file']): string {
  if (typeof file === 'number') throw new TypeError('a directory has no target')
  return readlinkSync(pathToBytes(file), { encoding: 'latin1' })
}

/** A directory on the way from the root to where the walk is; open until its last name is done. */
interface OpenDirectory {
  readonly fd: number
  readonly path: string
  readonly device: number
  names: readonly string[]
  next: number
}

class TreeWalk implements WalkedName, Disposable {
  readonly stat = new StatRecord()
  name = ''
  isMountPoint = false
  readonly #root: string
  /** A stack of our own, as a tree may be deeper than the engine's. */
  readonly #open: OpenDirectory[] = []
  /** The directory where the walk is, as long as its names have not been read. */
  #unread: OpenDirectory | undefined

  constructor(root: string) {
    this.#root = root
  }

  enterRoot(follow: boolean): void {
    try {
      this.#enter(openRoot(this.#root, follow), '')
    } catch (error) {
      throw scanError('read', this.#root, error)
    }
  }

  /** Moves on to the next name; false when there is none. */
  next(): boolean {
    this.#readNames()
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      const name = top.names[top.next++]
      if (name !== undefined) {
        this.#visit(top, name)
        return true
      }
      this.#open.pop()
      closeSync(top.fd)
    }
    return false
  }

  leaveOut(): void {
    this.#unread = undefined
  }

  get path(): string {
    return this.#isAtDirectory() ? this.#top.path : join(this.#top.path, this.name)
  }

  get fullPath(): string {
    return pathInTree(this.#root, this.path)
  }

  get depth(): number {
    return this.#isAtDirectory() ? this.#open.length - 1 : this.#open.length
  }

  get file(): string | number {
    return this.#isAtDirectory() ? this.#top.fd : `/proc/self/fd/${this.#top.fd}/${this.name}`
  }

  /** The directory where the walk is, or where the name is that it is at. */
  get #top(): OpenDirectory {
    const top = this.#open.at(-1)
    if (top === undefined) throw new Error('the walk has ended')
    return top
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }

  #isAtDirectory(): boolean {
    return (this.stat.mode & S_IFMT) === S_IFDIR
  }

  #visit(parent: OpenDirectory, name: string): void {
    this.name = name
    this.isMountPoint = false
    try {
      if (name.length > maxNameBytes) throw tooLong(name)
      this.stat.read(parent.fd, name)
      if (this.#isAtDirectory()) this.#enterBelow(parent, name)
    } catch (error) {
      throw scanError('read', pathInTree(this.#root, join(parent.path, name)), error)
    }
  }

  #enterBelow(parent: OpenDirectory, name: string): void {
    const { ino } = this.stat
    const { device } = this.#enter(openDirectoryAt(parent.fd, name), join(parent.path, name))
    if (this.stat.ino !== ino) throw changedWhileRead('read', this.fullPath)
    this.isMountPoint = device !== parent.device
  }

  /** Takes over the descriptor. */
  #enter(fd: number, path: string): OpenDirectory {
    try {
      this.stat.read(fd, '')
    } catch (error) {
      closeSync(fd)
      throw error
    }
    const directory: OpenDirectory = { fd, path, device: this.stat.device, names: [], next: 0 }
    this.#open.push(directory)
    this.#unread = directory
    return directory
  }

  #readNames(): void {
    const directory = this.#unread
    if (directory === undefined) return
    this.#unread = undefined
    try {
      directory.names = readNames(directory.fd).sort()
    } catch (error) {
      throw scanError('read', this.fullPath, error)
    }
  }
}

function openRoot(root: string, follow: boolean): number {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY
  return follow ? openSync(pathToBytes(`${root}/`), flags) : openSync(pathToBytes(root), flags | constants.O_NOFOLLOW)
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}/${name}`
}

function tooLong(name: string): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot read ${quoteName(name)}: its name has ${name.length} bytes, expected at most ${maxNameBytes}`,
  )
}
