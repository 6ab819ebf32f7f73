import { noXattrs } from '../formats/entry.ts'
import { setContent, unflatten } from '../formats/flat/flatten.ts'
import { FlatTree, field, floatField, furtherName, inodeFloats, inodeWords } from '../formats/flat/flat-tree.ts'
import { type Directory, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'
import type { StatRecord } from '../linux/stat.ts'
import { holdsObject } from './digest-store.ts'
import { LinkedInodes } from './linked-inodes.ts'
import type { Measured } from './measure-files.ts'
import { MeasurePool } from './measure-pool.ts'
import { readXattrs } from './read-xattrs.ts'
import { type ScanCache, openScanCache } from './scan-cache.ts'
import { scanError } from './scan-error.ts'
import { type WalkedName, readLink, walkTree } from './walk-tree.ts'

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
 * Whoever writes to the tree meanwhile cannot lead the scan out of it (`walkTree`), and a file that changes between its stat
 * and its last byte is an error.
 * @param path one char per byte, as are those in options; must not be a symlink
 * @throws ScanError with what the system refused, or DIGEST_MISMATCH for what changed
 */
export async function scanDirectory(path: string, options: ScanOptions = {}): Promise<Directory> {
  return unflatten(await scanTree(path, options))
}

/** Scans as `scanDirectory` does, into columns. */
export async function scanTree(path: string, options: ScanOptions = {}): Promise<FlatTree> {
  const cache = options.cache === undefined ? undefined : openScanCache(options.cache)
  const { threads = 1, objects, link = false } = options
  await using pool = new MeasurePool(threads, objects === undefined ? {} : { objects, link })
  const tree = new Scan(options, pool, cache).run(path)
  await pool.finish()
  cache?.save(tree)
  return tree
}

class Scan {
  readonly #options: ScanOptions
  readonly #pool: MeasurePool
  readonly #cache: ScanCache | undefined
  readonly #tree = new FlatTree()
  /** The inodes of the directories from the root to where the scan is, by depth. */
  readonly #directories: number[] = []
  readonly #links = new LinkedInodes<number>()

  constructor(options: ScanOptions, pool: MeasurePool, cache: ScanCache | undefined) {
    this.#options = options
    this.#pool = pool
    this.#cache = cache
  }

  run(root: string): FlatTree {
    for (const name of walkTree(root))
      try {
        this.#add(name)
      } catch (error) {
        throw scanError('read', name.fullPath, error)
      }
    return this.#tree
  }

  #add(name: WalkedName): void {
    const { stat, depth } = name
    const type = stat.mode & S_IFMT
    if (isDevice(type) && this.#options.skipDevices === true) return
    const known = type === S_IFDIR ? undefined : this.#furtherName(stat)
    const inode = known ?? this.#addInode(stat)
    if (depth > 0) this.#addName(name, inode, known === undefined ? 0 : furtherName)
    if (type === S_IFDIR) this.#directories[depth] = inode
    if (known === undefined) this.#describe(name, inode)
  }

  #addName({ name, depth }: WalkedName, inode: number, flags: number): void {
    const parent = this.#directories[depth - 1] as number
    this.#tree.addName(parent, inode, this.#tree.addText(name), name.length | flags)
  }

  /** The inode that the file has under its first name, which gets one more link; undefined for a first name. */
  #furtherName(stat: StatRecord): number | undefined {
    if (this.#options.hardLinks === false) return undefined
    // The inode that is added next, if this name is the first.
    const inode = this.#links.firstOf(stat, this.#tree.inodes)
    if (inode === undefined) return undefined
    const at = inode * inodeWords + field.nlink
    this.#tree.words[at] = (this.#tree.words[at] as number) + 1
    return inode
  }

  #addInode(stat: StatRecord): number {
    const { mode } = stat
    const id = this.#tree.addInode()
    const { words, floats } = this.#tree
    const at = id * inodeWords
    words[at + field.mode] = mode
    words[at + field.uid] = stat.uid
    words[at + field.gid] = stat.gid
    words[at + field.nlink] = 1
    if (isDevice(mode & S_IFMT)) words[at + field.rdev] = stat.rdev
    if (this.#options.epoch !== true) {
      words[at + field.mtimeNsec] = stat.mtimeNsec
      floats[id * inodeFloats + floatField.mtime] = stat.mtime
    }
    return id
  }

  /** Adds what stat does not say, from the cache where that knows the file as it is. */
  #describe(name: WalkedName, inode: number): void {
    const { stat } = name
    const type = stat.mode & S_IFMT
    const hit = this.#recall(stat, inode)
    if (!this.#isKnownToHaveNoXattrs(hit)) this.#readXattrs(inode, name.file)
    if (type === S_IFDIR) return
    if (hit !== 0) this.#cache?.restore(hit, this.#tree, inode, stat.size)
    else if (type === S_IFLNK) this.#tree.setText(inode, readLink(name.file))
    else if (type === S_IFREG && stat.size > 0) this.#measure(name, inode)
  }

  /** The place of what the cache has of the inode and may be used, or 0. */
  #recall(stat: StatRecord, inode: number): number {
    const cache = this.#cache
    if (cache === undefined) return 0
    const found = cache.find(stat)
    const hit = found !== 0 && this.#isUsable(cache, found, stat) ? found : 0
    cache.note(inode, stat, hit)
    return hit
  }

  #isKnownToHaveNoXattrs(hit: number): boolean {
    return hit !== 0 && this.#cache?.hasNoXattrs(hit) === true
  }

  /** An object that is not there is made of bytes that were read and hashed. */
  #isUsable(cache: ScanCache, found: number, { size }: StatRecord): boolean {
    const { objects } = this.#options
    if (objects === undefined) return true
    const digest = cache.digest(found)
    return digest === undefined || holdsObject(objects, digest, size)
  }

  #measure({ stat, fullPath }: WalkedName, inode: number): void {
    const { size, ino, ctimeNs } = stat
    this.#pool.add({ path: fullPath, size, identity: `${ino} ${size} ${ctimeNs}` }, (measured) => {
      setContent(this.#tree, inode, contentOf(measured, size))
    })
  }

  #readXattrs(inode: number, file: string | number): void {
    const wanted = this.#options.xattrs ?? 'all'
    const xattrs =
      wanted === 'none' ? noXattrs : readXattrs(file, (name) => wanted === 'all' || name.startsWith('user.'))
    if (xattrs.size > 0) this.#tree.words[inode * inodeWords + field.xattrs] = this.#tree.xattrSets.push(xattrs) - 1
    if (wanted === 'all') this.#cache?.noteXattrs(inode, xattrs.size > 0)
  }
}

function isDevice(type: number): boolean {
  return type === S_IFCHR || type === S_IFBLK
}

function contentOf(measured: Measured, size: number) {
  return typeof measured === 'string'
    ? ({ kind: 'object', digest: measured, size } as const)
    : ({ kind: 'inline', bytes: measured } as const)
}
