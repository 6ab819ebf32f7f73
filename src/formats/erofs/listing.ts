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
} from '../../image/tree.ts'
import { noContent, noXattrs } from '../entry.ts'
import { nameMax } from './records.ts'

export interface Listing {
  readonly inodes: readonly Inode[]
  /** st_mode as written, per inode: whiteouts have become regular files. */
  readonly modes: readonly number[]
  /** Per inode; computed for directories, the tree's own number for everything else. */
  readonly nlinks: readonly number[]
  /** Per inode, for directories: where its entries begin in `names` and `targets`; they end where `lastEntry` says. */
  readonly firstEntry: readonly number[]
  readonly lastEntry: readonly number[]
  /** The entries of all directories, `.` and `..` included, in byte order within each. */
  readonly names: readonly string[]
  /** The inode number each entry leads to. */
  readonly targets: readonly number[]
  /** Per inode: the directory it stands in under its primary name, and the entry that is that name; -1 for the root. */
  readonly parents: readonly number[]
  readonly entryOf: readonly number[]
  /** Inode numbers of the whiteouts, and of the directories they stand in. */
  readonly whiteouts: ReadonlySet<number>
  readonly whiteoutParents: ReadonlySet<number>
}

export function listTree(root: Directory): Listing {
  const inodes: Inode[] = [root]
  const modes: number[] = [root.mode]
  const nlinks: number[] = [2]
  const parents: number[] = [0]
  const entryOf: number[] = [-1]
  const firstEntry: number[] = []
  const lastEntry: number[] = []
  const names: string[] = []
  const targets: number[] = []
  const links: { entry: number; linkTo: Inode }[] = []
  const whiteouts = new Set<number>()
  const whiteoutParents = new Set<number>()
  const stub = stubOf(root)

  for (let ino = 0; ino < inodes.length; ino++) {
    const directory = inodes[ino] as Inode
    firstEntry.push(names.length)
    if (isDirectory(directory)) {
      for (const name of entryNames(directory, ino === 0)) {
        names.push(name)
        if (name === '.' || name === '..') {
          targets.push(name === '.' ? ino : (parents[ino] as number))
          continue
        }
        const child = directory.children.get(name) ?? stub
        if (isHardLink(child)) {
          links.push({ entry: targets.length, linkTo: child.linkTo })
          targets.push(-1)
          continue
        }
        const number = inodes.length
        entryOf.push(targets.length)
        targets.push(number)
        inodes.push(child)
        parents.push(ino)
        const type = child.mode & S_IFMT
        if ((type === S_IFDIR) !== (child.children !== undefined)) throw inconsistent(name)
        if (type === S_IFDIR) nlinks[ino] = (nlinks[ino] as number) + 1
        nlinks.push(type === S_IFDIR ? 2 : child.nlink)
        const whiteout = type === S_IFCHR && child.rdev === 0 && child !== stub
        modes.push(whiteout ? (child.mode & ~S_IFMT) | S_IFREG : child.mode)
        if (whiteout) {
          whiteouts.add(number)
          whiteoutParents.add(ino)
        }
      }
    }
    lastEntry.push(names.length)
  }
  resolveLinks(links, inodes, targets)
  return { inodes, modes, nlinks, firstEntry, lastEntry, names, targets, parents, entryOf, whiteouts, whiteoutParents }
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

function resolveLinks(links: { entry: number; linkTo: Inode }[], inodes: Inode[], targets: number[]): void {
  if (links.length === 0) return
  const numbers = new Map<Inode, number>(links.map(({ linkTo }) => [linkTo, -1]))
  for (const [number, inode] of inodes.entries()) if (numbers.has(inode)) numbers.set(inode, number)
  for (const { entry, linkTo } of links) {
    const number = numbers.get(linkTo)
    if (number === undefined || number < 0 || isDirectory(linkTo))
      throw new OnefoldError('BAD_FORMAT', 'Cannot write image: a hard link leads to no file of the tree')
    targets[entry] = number
  }
}

function inconsistent(name: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write ${JSON.stringify(name)}: its mode and its children disagree on whether it is a directory`,
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
