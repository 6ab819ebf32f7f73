import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
} from 'node:fs'
import { type Content, type Xattrs, noContent, noXattrs } from '../formats/entry.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  isDirectory,
  isHardLink,
} from '../formats/tree.ts'
import { isErrno } from '../linux/libc.ts'
import { getXattr, listXattrs } from '../linux/xattr.ts'
import { failed } from './failure.ts'
import { pathBytes } from './files.ts'
import { type Measured, identityOf } from './measure.ts'
import { MeasurePool } from './measure-pool.ts'

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
  await using pool = new MeasurePool(options.threads ?? 1, options.objects)
  using scan = new Scan(path, options, pool)
  const root = scan.run()
  await pool.finish()
  return root
}

/** A directory whose entries are being visited; it is open that long. */
interface OpenDirectory {
  readonly path: string
  readonly fd: number
  readonly directory: Directory
  readonly names: readonly string[]
  next: number
}

class Scan implements Disposable {
  readonly #root: string
  readonly #options: ScanOptions
  readonly #pool: MeasurePool
  /** From the root to where the scan is; a stack of our own, as a tree may be deeper than the engine's. */
  readonly #open: OpenDirectory[] = []
  /** Files that may have further names, by device and inode. */
  readonly #linked = new Map<string, Inode>()

  constructor(root: string, options: ScanOptions, pool: MeasurePool) {
    this.#root = root
    this.#options = options
    this.#pool = pool
  }

  run(): Directory {
    const root = this.#accessing(this.#root, () => this.#enter(this.#root, this.#root))
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      const name = top.names[top.next++]
      if (name === undefined) this.#leave()
      else this.#visit(top, name)
    }
    return root
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.splice(0)) closeSync(fd)
  }

  #leave(): void {
    const done = this.#open.pop()
    if (done !== undefined) closeSync(done.fd)
  }

  #visit(parent: OpenDirectory, name: string): void {
    const path = `${parent.path.replace(/\/$/, '')}/${name}`
    const found = this.#accessing(path, () => this.#read(parent, name, path))
    if (found === undefined) return
    parent.directory.children.set(name, found.child)
    if (isDirectory(found.child)) parent.directory.nlink++
    else if (found.stats !== undefined && !isHardLink(found.child)) this.#measure(found.child, path, found.stats)
  }

  /** What a name leads to, with the stats of a file that is yet to be measured. */
  #read(parent: OpenDirectory, name: string, path: string): { child: Child; stats?: BigIntStats } | undefined {
    const door = `/proc/self/fd/${parent.fd}/${name}`
    const stats = lstatSync(pathBytes(door), { bigint: true })
    const type = Number(stats.mode) & S_IFMT
    if (type === S_IFDIR) return { child: this.#enter(door, path) }
    if ((type === S_IFCHR || type === S_IFBLK) && this.#options.skipDevices === true) return undefined
    const known = this.#otherName(stats)
    if (known !== undefined) return { child: { linkTo: known } }
    const child = this.#inode(stats, this.#xattrs(door))
    if (type === S_IFLNK) child.target = readlinkSync(pathBytes(door), { encoding: 'buffer' }).toString('latin1')
    this.#remember(stats, child)
    return type === S_IFREG && stats.size > 0n ? { child, stats } : { child }
  }

  #enter(door: string, path: string): Directory {
    const fd = openSync(pathBytes(door), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    const children = new Map<string, Child>()
    try {
      const inode = this.#inode(fstatSync(fd, { bigint: true }), this.#xattrs(fd))
      const directory: Directory = Object.assign(inode, { children, nlink: 2 })
      const names = readdirSync(pathBytes(`/proc/self/fd/${fd}`), { encoding: 'buffer' })
      this.#open.push({ path, fd, directory, names: names.map((bytes) => bytes.toString('latin1')).sort(), next: 0 })
      return directory
    } catch (error) {
      closeSync(fd)
      throw error
    }
  }

  #inode(stats: BigIntStats, xattrs: Xattrs): Inode {
    const mode = Number(stats.mode)
    const type = mode & S_IFMT
    return {
      mode,
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      ...(this.#options.epoch === true ? { mtime: 0, mtimeNsec: 0 } : timeOf(stats.mtimeNs)),
      // glibc's dev_t has the kernel's 32-bit form in its lower half.
      rdev: type === S_IFCHR || type === S_IFBLK ? Number(stats.rdev & 0xffffffffn) : 0,
      nlink: 1,
      xattrs,
      content: noContent,
      target: '',
      children: undefined,
    }
  }

  #otherName(stats: BigIntStats): Inode | undefined {
    if (stats.nlink < 2n || this.#options.hardLinks === false) return undefined
    const inode = this.#linked.get(keyOf(stats))
    if (inode !== undefined) inode.nlink++
    return inode
  }

  #remember(stats: BigIntStats, inode: Inode): void {
    if (stats.nlink > 1n && this.#options.hardLinks !== false) this.#linked.set(keyOf(stats), inode)
  }

  #measure(inode: Inode, path: string, stats: BigIntStats): void {
    const size = Number(stats.size)
    this.#pool.add({ path, size, identity: identityOf(stats) }, (measured) => {
      inode.content = contentOf(measured, size)
    })
  }

  #xattrs(file: string | number): Xattrs {
    const wanted = this.#options.xattrs ?? 'all'
    if (wanted === 'none') return noXattrs
    const names = listNames(file).filter((name) => wanted === 'all' || name.startsWith('user.'))
    if (names.length === 0) return noXattrs
    const values = names.sort().map((name) => [name, getXattr(file, name)] as const)
    return new Map(values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])))
  }

  #accessing<T>(path: string, action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw failed(`error accessing ${path}`, error)
    }
  }
}

function listNames(file: string | number): string[] {
  try {
    return listXattrs(file)
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP')) return []
    throw error
  }
}

function keyOf(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}`
}

function contentOf(measured: Measured, size: number): Content {
  return typeof measured === 'string' ? { kind: 'object', digest: measured, size } : { kind: 'inline', bytes: measured }
}

/** Nanoseconds since 1970, possibly negative, as whole seconds and what is added to them. */
function timeOf(nanoseconds: bigint): { mtime: number; mtimeNsec: number } {
  const mtimeNsec = ((nanoseconds % billion) + billion) % billion
  return { mtime: Number((nanoseconds - mtimeNsec) / billion), mtimeNsec: Number(mtimeNsec) }
}

const billion = 1_000_000_000n
