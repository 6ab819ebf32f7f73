import { closeSync, constants, openSync, readlinkSync } from 'node:fs'
import { type Xattrs, noXattrs } from '../formats/entry.ts'
import { setContent, unflatten } from '../formats/flat/flatten.ts'
import { FlatTree, field, floatField, furtherName, inodeFloats, inodeWords } from '../formats/flat/flat-tree.ts'
import { type Directory, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'
import { openDirectoryAt, readNames } from '../linux/directory.ts'
import { isErrno } from '../linux/libc.ts'
import { StatRecord } from '../linux/stat.ts'
import { getXattr, listXattrs } from '../linux/xattr.ts'
import { pathToBytes } from '../paths.ts'
import { holdsObject } from './digest-store.ts'
import { failed } from '../cli/composefs/tool-failure.ts'
import type { Measured } from './measure-files.ts'
import { MeasurePool } from './measure-pool.ts'
import { type ScanCache, openScanCache } from './scan-cache.ts'

export interface ScanOptions {
  /** Names of one inode stay one file (default); without, every name becomes a file of its own, as in composefs' tool. */
  readonly hardLinks?: boolean
  /** Which extended attributes are read: all (default), those that begin with `user.`, or none. */
  readonly xattrs?: 'all' | 'user' | 'none'
  /** Leave out character and block devices. */
  readonly skipDevices?: boolean
  /** All times become 0. */
  readonly epoch?: boolean
  /** How many threads read and hash files (default 1). */
  readonly threads?: number
  /** A directory of objects to which the files' bytes are copied; made when it is not there. */
  readonly objects?: string
  /**
   * Objects may be further names of the scanned files, where blocks cannot be shared. It costs neither time nor room, but
   * whoever writes to such a file changes the object: only for trees that nobody writes to any more.
   */
  readonly link?: boolean
  /**
   * A file that remembers digests, so that the next scan reads only what has changed; made when it is not there. A digest
   * from it is believed for the tree, never for an object: one that is missing is made of bytes that were read.
   */
  readonly cache?: string
}

/**
 * The tree of a directory, mounts below it included, with the fs-verity digests of its files. Files of up to 64 bytes go
 * into the tree whole. The result depends on the directory alone, not on threads or the order of its entries on disk.
 *
 * Whoever writes to the tree meanwhile cannot lead the scan out of it: directories are held open, names are looked up
 * inside these, symlinks are never followed, and a file that changes between its stat and its last byte is an error.
 * @param path one char per byte, as are those in options; must not be a symlink
 */
export async function scanDirectory(path: string, options: ScanOptions = {}): Promise<Directory> {
  return unflatten(await scanTree(path, options))
}

/** The same in columns. */
export async function scanTree(path: string, options: ScanOptions = {}): Promise<FlatTree> {
  const cache = options.cache === undefined ? undefined : openScanCache(options.cache)
  const { threads = 1, objects, link = false } = options
  await using pool = new MeasurePool(threads, objects === undefined ? {} : { objects, link })
  using scan = new Scan(path, options, pool, cache)
  const tree = scan.run()
  await pool.finish()
  cache?.save(tree)
  return tree
}

/** A directory whose entries are being visited; it is open that long. */
interface OpenDirectory {
  readonly path: string
  readonly fd: number
  readonly inode: number
  readonly names: readonly string[]
  next: number
}

class Scan implements Disposable {
  readonly #root: string
  readonly #options: ScanOptions
  readonly #pool: MeasurePool
  readonly #cache: ScanCache | undefined
  readonly #tree = new FlatTree()
  readonly #stat = new StatRecord()
  /** From the root to where the scan is; a stack of our own, as a tree may be deeper than the engine's. */
  readonly #open: OpenDirectory[] = []
  /** Files that may have further names, by device and inode. */
  readonly #linked = new Map<string, number>()

  constructor(root: string, options: ScanOptions, pool: MeasurePool, cache: ScanCache | undefined) {
    this.#root = root
    this.#options = options
    this.#pool = pool
    this.#cache = cache
  }

  run(): FlatTree {
    try {
      this.#enter(openRoot(this.#root), this.#root)
    } catch (error) {
      throw failed(`error accessing ${this.#root}`, error)
    }
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      const name = top.names[top.next++]
      if (name === undefined) this.#leave()
      else this.#visit(top, name)
    }
    return this.#tree
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }

  #leave(): void {
    const done = this.#open.pop()
    if (done !== undefined) closeSync(done.fd)
  }

  #visit(parent: OpenDirectory, name: string): void {
    try {
      this.#read(parent, name)
    } catch (error) {
      throw failed(`error accessing ${pathIn(parent, name)}`, error)
    }
  }

  #read(parent: OpenDirectory, name: string): void {
    const stat = this.#stat
    stat.read(parent.fd, name)
    const type = stat.mode & S_IFMT
    if ((type === S_IFCHR || type === S_IFBLK) && this.#options.skipDevices === true) return
    const at = this.#tree.addText(name)
    if (type === S_IFDIR) {
      const fd = openDirectoryAt(parent.fd, name)
      this.#tree.addName(parent.inode, this.#enter(fd, pathIn(parent, name)), at, name.length)
      return
    }
    const known = this.#otherName()
    if (known !== undefined) {
      this.#tree.addName(parent.inode, known, at, name.length | furtherName)
      return
    }
    const inode = this.#inode()
    this.#tree.addName(parent.inode, inode, at, name.length)
    this.#remember(inode)
    this.#describe(inode, type, parent, name)
  }

  /** What stat does not say. */
  #describe(inode: number, type: number, parent: OpenDirectory, name: string): void {
    const hit = this.#recall(inode)
    if (!this.#isKnownToHaveNoXattrs(hit)) this.#readXattrs(inode, door(parent, name))
    if (hit !== 0) this.#cache?.restore(hit, this.#tree, inode, this.#stat.size)
    else if (type === S_IFLNK) this.#tree.setText(inode, readLink(door(parent, name)))
    else if (type === S_IFREG && this.#stat.size > 0) this.#measure(inode, pathIn(parent, name))
  }

  /** What the cache has of the inode and may be used, or 0. */
  #recall(inode: number): number {
    const cache = this.#cache
    if (cache === undefined) return 0
    const found = cache.find(this.#stat)
    const hit = found !== 0 && this.#isUsable(cache, found) ? found : 0
    cache.note(inode, this.#stat, hit)
    return hit
  }

  #isKnownToHaveNoXattrs(hit: number): boolean {
    return hit !== 0 && this.#cache?.hasNoXattrs(hit) === true
  }

  /** An object that is not there is made of bytes that were read and hashed. */
  #isUsable(cache: ScanCache, found: number): boolean {
    const { objects } = this.#options
    if (objects === undefined) return true
    const digest = cache.digest(found)
    return digest === undefined || holdsObject(objects, digest, this.#stat.size)
  }

  /** The descriptor is closed when the directory has been visited. */
  #enter(fd: number, path: string): number {
    try {
      this.#stat.read(fd, '')
      const inode = this.#inode()
      if (!this.#isKnownToHaveNoXattrs(this.#recall(inode))) this.#readXattrs(inode, fd)
      const names = readNames(fd).sort()
      this.#open.push({ path, fd, inode, names, next: 0 })
      return inode
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  #inode(): number {
    const stat = this.#stat
    const { mode } = stat
    const type = mode & S_IFMT
    const id = this.#tree.addInode()
    const { words, floats } = this.#tree
    const at = id * inodeWords
    words[at + field.mode] = mode
    words[at + field.uid] = stat.uid
    words[at + field.gid] = stat.gid
    words[at + field.nlink] = 1
    if (type === S_IFCHR || type === S_IFBLK) words[at + field.rdev] = stat.rdev
    if (this.#options.epoch !== true) {
      words[at + field.mtimeNsec] = stat.mtimeNsec
      floats[id * inodeFloats + floatField.mtime] = stat.mtime
    }
    return id
  }

  #otherName(): number | undefined {
    if (this.#stat.nlink < 2 || this.#options.hardLinks === false) return undefined
    const inode = this.#linked.get(this.#stat.identity)
    if (inode === undefined) return undefined
    const at = inode * inodeWords + field.nlink
    this.#tree.words[at] = (this.#tree.words[at] as number) + 1
    return inode
  }

  #remember(inode: number): void {
    if (this.#stat.nlink > 1 && this.#options.hardLinks !== false) this.#linked.set(this.#stat.identity, inode)
  }

  #measure(inode: number, path: string): void {
    const { size, ino, ctimeNs } = this.#stat
    this.#pool.add({ path, size, identity: `${ino} ${size} ${ctimeNs}` }, (measured) => {
      setContent(this.#tree, inode, contentOf(measured, size))
    })
  }

  #readXattrs(inode: number, file: string | number): void {
    const xattrs = this.#xattrs(file)
    if (xattrs.size > 0) this.#tree.words[inode * inodeWords + field.xattrs] = this.#tree.xattrSets.push(xattrs) - 1
    if ((this.#options.xattrs ?? 'all') === 'all') this.#cache?.noteXattrs(inode, xattrs.size > 0)
  }

  #xattrs(file: string | number): Xattrs {
    const wanted = this.#options.xattrs ?? 'all'
    if (wanted === 'none') return noXattrs
    const names = listNames(file).filter((name) => wanted === 'all' || name.startsWith('user.'))
    if (names.length === 0) return noXattrs
    const values = names.sort().map((name) => [name, getXattr(file, name)] as const)
    return new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])))
  }
}

function pathIn({ path }: OpenDirectory, name: string): string {
  return path.endsWith('/') ? path + name : `${path}/${name}`
}

/** A path for calls that take no descriptor of a directory. */
function door({ fd }: OpenDirectory, name: string): string {
  return `/proc/self/fd/${fd}/${name}`
}

function openRoot(path: string): number {
  return openSync(pathToBytes(path), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
}

function readLink(door: string): string {
  return readlinkSync(pathToBytes(door), { encoding: 'latin1' })
}

function listNames(file: string | number): string[] {
  try {
    return listXattrs(file)
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP')) return []
    throw error
  }
}

function contentOf(measured: Measured, size: number) {
  return typeof measured === 'string'
    ? ({ kind: 'object', digest: measured, size } as const)
    : ({ kind: 'inline', bytes: measured } as const)
}
