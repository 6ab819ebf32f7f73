/**
 * The kernel's own answer to what a pile of layers is: each layer is made as files in a folder, as its tar would leave
 * them there, whiteouts become what overlayfs takes for one, and the folders are mounted above one another.
 *
 * Where overlayfs has no way to say something, this follows docs/tree.md: directories that are only implied copy the lower
 * directory's metadata, a link to a lower file brings along that file's other names, and an opaque root is one whiteout for
 * each lower name, because overlayfs does not ask the root of a middle layer whether it is opaque.
 */
import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { Entry } from '../src/formats/entry.ts'
import { noContent } from '../src/formats/entry.ts'
import { walk } from '../src/image/json.ts'
import {
  type Directory,
  type Inode,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  emptyDirectory,
  isDirectory,
} from '../src/formats/tree.ts'
import { lchown, mknod, setMtime } from '../src/linux/file.ts'
import { isErrno } from '../src/linux/libc.ts'
import { mountFlags } from '../src/linux/abi.ts'
import { FsContext, attachMount, unmount } from '../src/linux/mount.ts'
import { getXattr, listXattrs, setXattr } from '../src/linux/xattr.ts'
import { bytesOf, contentOf } from './tree-text.ts'

/** A layer that cannot be made: `add` has then changed nothing. */
export class Refused extends Error {}

/** Lower directories in a scratch folder, and what a mount of them shows. */
export class OverlayStack {
  readonly #folder: string
  readonly #layers: string[] = []
  #lower: Directory = emptyDirectory()

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(`${folder}/bottom`)
    mkdirSync(`${folder}/mount`)
  }

  /** A layer to fill, over all that were closed before. */
  layer(): OverlayLayer {
    const folder = `${this.#folder}/layer${this.#layers.length}`
    mkdirSync(folder)
    this.#layers.unshift(folder)
    return new OverlayLayer(folder, this.#lower)
  }

  /** Ends a layer; what the kernel shows of all so far. */
  close(layer: OverlayLayer): Directory {
    layer.finish()
    const target = `${this.#folder}/mount`
    mountOverlay([...this.#layers.map((each) => `${each}/root`), `${this.#folder}/bottom`], target)
    try {
      this.#lower = readTree(target)
    } finally {
      unmount(target)
    }
    return this.#lower
  }
}

/** The topmost first; overlayfs wants at least two. */
function mountOverlay(layers: readonly string[], target: string): void {
  using context = new FsContext('overlay')
  for (const each of layers) context.setString('lowerdir+', each)
  context.create()
  const mount = context.mount(mountFlags.MOUNT_ATTR_RDONLY)
  try {
    attachMount(mount, target)
  } finally {
    closeSync(mount)
  }
}

export class OverlayLayer {
  readonly #root: string
  readonly #side: string
  readonly #lower: ReadonlyMap<string, Inode>
  /** Directories of this layer and the entry for each, if it has one. */
  readonly #directories = new Map<string, Entry | undefined>([['', undefined]])
  readonly #whiteouts = new Set<string>()
  readonly #opaque = new Set<string>()
  /** Names of lower inodes that are here only because something was linked to them, and directories made for those. */
  readonly #copied = new Set<string>()
  readonly #hidden = new Map<string, string>()

  constructor(folder: string, lower: Directory) {
    this.#root = `${folder}/root`
    this.#side = `${folder}/side`
    mkdirSync(this.#root)
    mkdirSync(this.#side)
    this.#lower = new Map([...walk(lower)].map(({ path, inode }) => [path, inode]))
  }

  add(entry: Entry): void {
    const names = entry.path.split('/')
    const name = names.pop() ?? ''
    const parent = names.join('/')
    if (names.some(isMarker) || (name.startsWith('.wh..wh.') && name !== '.wh..wh..opq')) return this.#hide(entry)
    if (['.wh.', '.wh..', '.wh...'].includes(name)) throw new Refused('a whiteout of nothing')
    if (entry.path === '' && entry.type !== 'directory') throw new Refused('a root that is no directory')
    this.#checkParents(parent)
    const target = entry.type === 'hardlink' && !isMarker(name) ? this.#linkTarget(entry) : undefined
    if (entry.path !== '') this.#makeParents(parent)
    if (name === '.wh..wh..opq') this.#opaque.add(parent)
    else if (isMarker(name)) this.#whiteouts.add(below(parent, name.slice(4)))
    else if (entry.type === 'char' && entry.major === 0 && entry.minor === 0) this.#whiteouts.add(entry.path)
    else if (entry.type === 'directory') this.#makeDirectory(entry)
    else {
      this.#remove(entry.path)
      if (target === undefined) make(this.#at(entry.path), inodeLike(entry))
      else linkSync(latin1(target), latin1(this.#at(entry.path)))
    }
  }

  finish(): void {
    for (const path of [...this.#copied].sort().reverse()) this.#dropIfHidden(path)
    if (this.#opaque.delete(''))
      for (const path of this.#lower.keys()) if (path !== '' && parentOf(path) === '') this.#whiteouts.add(path)
    for (const path of this.#whiteouts) this.#whiteOut(path)
    for (const path of this.#opaque) setXattr(this.#at(path), 'trusted.overlay.opaque', Buffer.from('y'))
    for (const [path, entry] of this.#directories) {
      const implied = this.#isHidden(path) ? undefined : this.#lower.get(path)
      const usual = implied !== undefined && isDirectory(implied) ? implied : emptyDirectory()
      describe(this.#at(path), entry === undefined ? usual : inodeLike(entry))
    }
  }

  #at(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  /** Whether the name is in this layer's folder; a symlink there leads nowhere. */
  #has(path: string): boolean {
    return this.#directories.has(parentOf(path)) && isThere(this.#at(path))
  }

  #hide(entry: Entry): void {
    if (entry.type === 'directory') return
    const file = `${this.#side}/${this.#hidden.size}`
    if (entry.type === 'hardlink') linkSync(latin1(this.#linkTarget(entry)), file)
    else make(file, inodeLike(entry))
    this.#hidden.set(entry.path, file)
  }

  #checkParents(path: string): void {
    for (const each of ancestry(path))
      if (!this.#directories.has(each) && !this.#copied.has(each) && this.#has(each))
        throw new Refused(`${each} is no directory`)
  }

  #makeParents(path: string): void {
    for (const each of ancestry(path)) {
      const wasCopied = this.#copied.delete(each)
      if (this.#directories.has(each)) continue
      if (wasCopied) unlinkSync(latin1(this.#at(each)))
      mkdirSync(latin1(this.#at(each)))
      this.#directories.set(each, undefined)
    }
  }

  #makeDirectory(entry: Entry): void {
    const { path } = entry
    this.#copied.delete(path)
    if (!this.#directories.has(path)) {
      this.#remove(path)
      mkdirSync(latin1(this.#at(path)))
    }
    this.#directories.set(path, entry)
  }

  #remove(path: string): void {
    rmSync(latin1(this.#at(path)), { recursive: true, force: true })
    for (const set of [this.#directories, this.#opaque, this.#copied])
      for (const each of set.keys()) if (each === path || each.startsWith(`${path}/`)) set.delete(each)
    for (const each of this.#whiteouts) if (each.startsWith(`${path}/`)) this.#whiteouts.delete(each)
  }

  /** A file to link to; one of a lower layer is brought into this one first, under all its names. */
  #linkTarget({ path, link }: Entry): string {
    if (`${link}/`.startsWith(`${path}/`) || path.startsWith(`${link}/`)) throw new Refused('a link to itself')
    const hidden = this.#hidden.get(link)
    if (hidden !== undefined) return hidden
    const own = ancestry(link).find((each) => !this.#directories.has(each) && this.#has(each))
    if (own === link && !(this.#copied.has(link) && this.#isHidden(link))) return this.#at(link)
    const target = own === undefined ? this.#lowerFile(link) : undefined
    if (target === undefined) throw new Refused('a link to what is not there')
    const file = `${this.#side}/copy${this.#copied.size}`
    make(file, target)
    for (const [name, inode] of this.#lower) if (inode === target) this.#copyUp(file, name)
    return file
  }

  #lowerFile(path: string): Inode | undefined {
    const inode = this.#lower.get(path)
    const usable = inode !== undefined && !isDirectory(inode) && !this.#isHidden(path) && !this.#directories.has(path)
    return usable ? inode : undefined
  }

  #copyUp(file: string, path: string): void {
    const parents = ancestry(dirname(path) === '.' ? '' : dirname(path))
    const covered = parents.some((each) => !this.#directories.has(each) && this.#has(each))
    if (covered || this.#isHidden(path) || this.#has(path)) return
    for (const each of parents) {
      if (this.#directories.has(each)) continue
      mkdirSync(latin1(this.#at(each)))
      this.#directories.set(each, undefined)
      this.#copied.add(each)
    }
    linkSync(file, latin1(this.#at(path)))
    this.#copied.add(path)
  }

  /** Whether this layer, as far as it has come, hides the lower layers' name. */
  #isHidden(path: string): boolean {
    return ancestry(path).some((each) => this.#whiteouts.has(each) || this.#opaque.has(parentOf(each)))
  }

  #dropIfHidden(path: string): void {
    if (!this.#isHidden(path)) return
    if (this.#directories.delete(path)) rmdirSync(latin1(this.#at(path)))
    else unlinkSync(latin1(this.#at(path)))
  }

  #whiteOut(path: string): void {
    if (this.#directories.has(path)) this.#opaque.add(path)
    else if (!this.#has(path)) mknod(this.#at(path), 0o020000, 0)
  }
}

function isMarker(name: string): boolean {
  return name.startsWith('.wh.')
}

function below(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

function parentOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
}

/** The path and all above it but the root, the topmost first. */
function ancestry(path: string): string[] {
  const names = path === '' ? [] : path.split('/')
  return names.map((_, index) => names.slice(0, index + 1).join('/'))
}

function latin1(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}

function isThere(path: string): boolean {
  return lstatSync(latin1(path), { throwIfNoEntry: false }) !== undefined
}

const typeBits = { file: S_IFREG, directory: S_IFDIR, symlink: S_IFLNK, fifo: S_IFIFO, socket: S_IFSOCK, hardlink: 0 }

function inodeLike(entry: Entry): Inode {
  const bits = entry.type === 'char' ? 0o020000 : entry.type === 'block' ? 0o060000 : typeBits[entry.type]
  if (entry.type === 'symlink' && entry.link === '') throw new Refused('a symlink to nothing')
  return {
    ...emptyDirectory(),
    ...entry,
    mode: bits | entry.mode,
    rdev: entry.major * 256 + (entry.minor % 256) + Math.floor(entry.minor / 256) * 0x100000,
    target: entry.type === 'symlink' ? entry.link : '',
    children: undefined,
  }
}

function make(path: string, inode: Inode): void {
  if ((inode.mode & S_IFMT) === S_IFREG) writeFileSync(latin1(path), bytesOf(inode.content))
  else if (inode.target !== '') symlinkSync(latin1(inode.target), latin1(path))
  else mknod(path, inode.mode, inode.rdev)
  describe(path, inode)
}

function describe(path: string, inode: Inode): void {
  lchown(path, inode.uid, inode.gid)
  if (inode.target === '') chmodSync(latin1(path), inode.mode & 0o7777)
  for (const [name, value] of inode.xattrs) trySetXattr(path, name, value)
  setMtime(path, inode.mtime, inode.mtimeNsec)
}

/** The kernel decides which attributes can stand where, but not which of them belong to a layer. */
function trySetXattr(path: string, name: string, value: Uint8Array): void {
  if (name.startsWith('trusted.') || name === 'security.selinux') return
  try {
    setXattr(path, name, value)
  } catch (error) {
    if (!isErrno(error, 'EPERM', 'EACCES', 'EOPNOTSUPP')) throw error
  }
}

/**
 * What lies in a folder, as a finished tree. Names of one inode are told by its number and device: overlayfs gives files the
 * numbers of their layers, which can be the same.
 */
export function readTree(folder: string): Directory {
  const inodes = new Map<string, Inode>()
  const root = readInode(folder)
  const pending: [folder: string, directory: Inode][] = [[folder, root]]
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const [path, { children }] = next
    const names = readdirSync(latin1(path), { encoding: 'buffer' })
    for (const name of names.map((each) => each.toString('latin1'))) {
      const file = `${path}/${name}`
      // Overlayfs lists whiteouts of directories that it does not merge, but they cannot be looked up.
      const stat = lstatSync(latin1(file), { bigint: true, throwIfNoEntry: false })
      if (stat === undefined) continue
      const key = `${stat.dev}:${stat.ino}`
      const inode = inodes.get(key) ?? readInode(file)
      if (!stat.isDirectory()) inodes.set(key, inode)
      children?.set(name, inode)
      if (stat.isDirectory()) pending.push([file, inode])
    }
  }
  if (!isDirectory(root)) throw new Error(`${folder} is no directory`)
  settle(root)
  return root
}

function readInode(path: string): Inode {
  const stat = lstatSync(latin1(path), { bigint: true })
  const file = stat.isFile()
  const device = stat.isBlockDevice() || stat.isCharacterDevice()
  const names = listXattrs(path).sort()
  return {
    mode: Number(stat.mode),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: Number(floorDivide(stat.mtimeNs, 1_000_000_000n)),
    mtimeNsec: Number(stat.mtimeNs - floorDivide(stat.mtimeNs, 1_000_000_000n) * 1_000_000_000n),
    rdev: device ? Number(stat.rdev) : 0,
    nlink: 1,
    xattrs: new Map(names.map((name) => [name, getXattr(path, name) ?? new Uint8Array()])),
    content: file ? contentOf(readFileSync(latin1(path))) : noContent,
    target: stat.isSymbolicLink() ? readlinkSync(latin1(path), { encoding: 'buffer' }).toString('latin1') : '',
    children: stat.isDirectory() ? new Map() : undefined,
  }
}

function floorDivide(a: bigint, b: bigint): bigint {
  return a / b - (a % b < 0n ? 1n : 0n)
}

/** The first name in depth-first byte order is the inode, the others are links to it. */
function settle(directory: Directory, seen = new Map<Inode, number>()): void {
  directory.nlink = 2
  for (const name of [...directory.children.keys()].sort()) {
    const child = directory.children.get(name)
    if (child === undefined || 'linkTo' in child) continue
    if (isDirectory(child)) {
      directory.nlink++
      settle(child, seen)
    } else {
      child.nlink = (seen.get(child) ?? 0) + 1
      if (child.nlink > 1) directory.children.set(name, { linkTo: child })
      seen.set(child, child.nlink)
    }
  }
}
