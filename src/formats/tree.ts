import { type Content, type Xattrs, noContent, noXattrs } from './entry.ts'

/** Type bits of st_mode. */
export const S_IFMT = 0o170000
export const S_IFIFO = 0o010000
export const S_IFCHR = 0o020000
export const S_IFDIR = 0o040000
export const S_IFBLK = 0o060000
export const S_IFREG = 0o100000
export const S_IFLNK = 0o120000
export const S_IFSOCK = 0o140000

/**
 * One inode of a merged tree. In a finished tree every inode stands exactly once as itself, under its *primary* name
 * (the first in depth-first byte order, unless a dump says otherwise); its further names are HardLinks.
 */
export interface Inode {
  /** Type and permission bits, as in st_mode. */
  mode: number
  uid: number
  gid: number
  /** Modification time in whole seconds, possibly negative; `mtimeNsec` is always added. */
  mtime: number
  mtimeNsec: number
  /**
   * Number of a device in Linux's own 32-bit form: `(major & 0xfff) << 8 | minor & 0xff | (minor & 0xfff00) << 12`; 0
   * for everything else.
   */
  rdev: number
  /** Number of names; for directories 2 + number of subdirectories. */
  nlink: number
  xattrs: Xattrs
  /** Content of a regular file; `noContent` for everything else. */
  content: Content
  /** Target of a symlink; '' for everything else. */
  target: string
  /** Children of a directory; undefined for everything else. Names are latin1 strings, in any order. */
  children: Map<string, Child> | undefined
}

/** Inode without its children. */
export type InodeInfo = Omit<Inode, 'children'>

export interface HardLink {
  readonly linkTo: Inode
}

export type Child = Inode | HardLink

export interface Directory extends Inode {
  children: Map<string, Child>
}

export function isHardLink(child: Child): child is HardLink {
  return 'linkTo' in child
}

export function inodeOf(child: Child): Inode {
  return 'linkTo' in child ? child.linkTo : child
}

export function isDirectory(inode: Child): inode is Directory {
  return 'children' in inode && inode.children !== undefined
}

/** Makes a directory as an implied parent or an empty root has it: 0755, 0:0, mtime 0. */
export function emptyDirectory(): Directory {
  return {
    mode: S_IFDIR | 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    rdev: 0,
    nlink: 2,
    xattrs: noXattrs,
    content: noContent,
    target: '',
    children: new Map(),
  }
}

/** Returns the names in a directory in byte order (latin1 strings compare as bytes do). */
export function sortedNames(directory: Directory): string[] {
  return [...directory.children.keys()].sort(compareNames)
}

/** Compares latin1 strings as strcmp does. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** A name of a tree. */
export interface TreeName {
  /** The path from the root, without a leading slash. */
  readonly path: string
  readonly directory: Directory
  readonly name: string
  readonly child: Child
}

/**
 * Every name below a directory, depth-first, parents before children, siblings in byte order. Something else may
 * be put under a name while the walk is at it, and is not walked. Without recursion: a tree may be deeper than the engine's
 * stack.
 */
export function* namesBelow(root: Directory): Generator<TreeName> {
  const open = [openDirectory(root, '')]
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const name = top.names[top.next++]
    const child = name === undefined ? undefined : top.directory.children.get(name)
    if (name === undefined || child === undefined) {
      if (name === undefined) open.pop()
      continue
    }
    const path = top.prefix + name
    yield { path, directory: top.directory, name, child }
    if (isDirectory(child)) open.push(openDirectory(child, `${path}/`))
  }
}

function openDirectory(directory: Directory, prefix: string) {
  return { directory, prefix, names: sortedNames(directory), next: 0 }
}
