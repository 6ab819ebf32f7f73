/**
 * The first pass of the writer: the tree as composefs numbers it.
 *
 * Inodes are listed breadth-first, the children of each directory in byte order; the position in the list is the inode
 * number. Hard links take no inode. On the way the user's own whiteouts are found and the 256 stubs are added to
 * the root: they hide the fan-out directories of the object store, which is the layer below.
 */
import { OnefoldError } from '../../error.ts'
import {
  type Directory,
  type Inode,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  compareNames,
  isDirectory,
  isHardLink,
} from '../tree.ts'
import { noContent, noXattrs } from '../entry.ts'
import { nameMax } from './records.ts'

export interface Listing {
  readonly inodes: readonly Inode[]
  /** st_mode as written, per inode: whiteouts have become regular files. */
  readonly modes: Uint16Array
  /** Per inode; computed for directories, the tree's own number for everything else. */
  readonly nlinks: Uint32Array
  /** Per inode, for directories: where its entries begin in `names` and `targets`; they end where `lastEntry` says. */
  readonly firstEntry: Uint32Array
  readonly lastEntry: Uint32Array
  /** The entries of all directories, `.` and `..` included, in byte order within each. */
  readonly names: readonly string[]
  /** The inode number each entry leads to. */
  readonly targets: Uint32Array
  /** Per inode: the directory it stands in under its primary name, and the entry that is that name. */
  readonly parents: Uint32Array
  readonly entryOf: Uint32Array
  /** Inode numbers of the whiteouts, and of the directories they stand in. */
  readonly whiteouts: ReadonlySet<number>
  readonly whiteoutParents: ReadonlySet<number>
}

export function listTree(root: Directory): Listing {
  const lister = new Lister(root)
  lister.list()
  lister.resolveLinks()
  return lister
}

class Lister implements Listing {
  readonly inodes: Inode[]
  readonly modes: Uint16Array
  readonly nlinks: Uint32Array
  readonly firstEntry: Uint32Array
  readonly lastEntry: Uint32Array
  readonly names: string[]
  readonly targets: Uint32Array
  readonly parents: Uint32Array
  readonly entryOf: Uint32Array
  readonly whiteouts = new Set<number>()
  readonly whiteoutParents = new Set<number>()
  readonly #stub: Inode
  readonly #links: { readonly entry: number; readonly linkTo: Inode }[] = []
  #inodeCount = 0
  #entryCount = 0

  constructor(root: Directory) {
    const { inodes, entries } = count(root)
    this.inodes = Array.from<Inode>({ length: inodes })
    this.modes = new Uint16Array(inodes)
    this.nlinks = new Uint32Array(inodes)
    this.firstEntry = new Uint32Array(inodes)
    this.lastEntry = new Uint32Array(inodes)
    this.parents = new Uint32Array(inodes)
    this.entryOf = new Uint32Array(inodes)
    this.names = Array.from<string>({ length: entries })
    this.targets = new Uint32Array(entries)
    this.#stub = stubOf(root)
    this.#add(root, 0)
  }

  list(): void {
    for (let number = 0; number < this.#inodeCount; number++) {
      const inode = this.inodes[number] as Inode
      this.firstEntry[number] = this.#entryCount
      if (isDirectory(inode)) this.#listDirectory(inode, number)
      this.lastEntry[number] = this.#entryCount
    }
  }

  #listDirectory(directory: Directory, number: number): void {
    for (const name of entryNames(directory, number === 0)) {
      const entry = this.#entryCount++
      this.names[entry] = name
      if (name === '.') this.targets[entry] = number
      else if (name === '..') this.targets[entry] = this.parents[number] as number
      else {
        const child = directory.children.get(name) ?? this.#stub
        if (isHardLink(child)) this.#links.push({ entry, linkTo: child.linkTo })
        else {
          this.entryOf[this.#inodeCount] = entry
          this.targets[entry] = this.#inodeCount
          this.#add(child, number)
        }
      }
    }
  }

  #add(inode: Inode, parent: number): void {
    const number = this.#inodeCount++
    const type = inode.mode & S_IFMT
    if ((type === S_IFDIR) !== (inode.children !== undefined)) throw inconsistent(inode)
    this.inodes[number] = inode
    this.parents[number] = parent
    this.modes[number] = inode.mode
    this.nlinks[number] = type === S_IFDIR ? 2 : inode.nlink
    if (type === S_IFDIR && number > 0) this.nlinks[parent] = (this.nlinks[parent] as number) + 1
    if (type === S_IFCHR && inode.rdev === 0 && inode !== this.#stub) {
      this.modes[number] = (inode.mode & ~S_IFMT) | S_IFREG
      this.whiteouts.add(number)
      this.whiteoutParents.add(parent)
    }
  }

  resolveLinks(): void {
    if (this.#links.length === 0) return
    const numbers = new Map<Inode, number>(this.#links.map(({ linkTo }) => [linkTo, -1]))
    for (const [number, inode] of this.inodes.entries()) if (numbers.has(inode)) numbers.set(inode, number)
    for (const { entry, linkTo } of this.#links) {
      const number = numbers.get(linkTo)
      if (number === undefined || number < 0 || isDirectory(linkTo))
        throw new OnefoldError('BAD_FORMAT', 'Cannot write image: a hard link leads to no file of the tree')
      this.targets[entry] = number
    }
  }
}

/** Everything is allocated once, at its full size. */
function count(root: Directory): { inodes: number; entries: number } {
  const stubs = stubNames.filter((name) => !root.children.has(name)).length
  const directories = [root]
  let inodes = 1 + stubs
  let entries = stubs
  for (let next = directories.pop(); next !== undefined; next = directories.pop()) {
    entries += 2 + next.children.size
    for (const child of next.children.values()) {
      if (isHardLink(child)) continue
      inodes++
      if (isDirectory(child)) directories.push(child)
    }
  }
  return { inodes, entries }
}

/** A real whiteout in the root, for each of `00` … `ff` that the tree does not use itself. */
const stubNames: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

function stubOf(root: Directory): Inode {
  const label = root.xattrs.get('security.selinux')
  return {
    mode: S_IFCHR | 0o644,
    uid: root.uid,
    gid: root.gid,
    mtime: root.mtime,
    mtimeNsec: root.mtimeNsec,
    rdev: 0,
    nlink: 1,
    xattrs: label === undefined ? noXattrs : new Map([['security.selinux', label]]),
    content: noContent,
    target: '',
    children: undefined,
  }
}

function entryNames(directory: Directory, isRoot: boolean): string[] {
  const names = [...directory.children.keys()]
  for (const name of names) if (isBadName(name)) throw badName(name)
  if (isRoot) for (const name of stubNames) if (!directory.children.has(name)) names.push(name)
  names.push('.', '..')
  return names.sort(compareNames)
}

function inconsistent({ mode }: Inode): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write image: an inode's mode 0${mode.toString(8)} and its children disagree on whether it is a directory`,
  )
}

function isBadName(name: string): boolean {
  return name === '' || name.length > nameMax || name === '.' || name === '..' || name.includes('/')
}

function badName(name: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write name ${JSON.stringify(name.slice(0, 300))}: expected 1 to ${nameMax} bytes without a slash, and neither "." nor ".."`,
  )
}
