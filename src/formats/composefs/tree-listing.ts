/**
 * The first pass of the writer: the tree as composefs numbers it.
 *
 * Inodes are listed breadth-first, the children of each directory in byte order; the position in the list is the inode
 * number. Hard links take no inode. On the way the user's own whiteouts are found and the 256 stubs are added to
 * the root: they hide the fan-out directories of the object store, which is the layer below.
 */
import { type Children, childrenOf } from '../flat/flat-children.ts'
import {
  type FlatTree,
  compareBytes,
  dotsAt,
  field,
  floatField,
  furtherName,
  inodeFloats,
  inodeWords,
  nameField,
  nameLengthMask,
  nameWords,
  stubNameAt,
} from '../flat/flat-tree.ts'
import { S_IFCHR, S_IFDIR, S_IFMT, S_IFREG } from '../tree.ts'

export interface Listing {
  readonly tree: FlatTree
  /** Per inode number: its id in the tree. */
  readonly ids: Uint32Array
  /** st_mode as written, per inode: whiteouts have become regular files. */
  readonly modes: Uint16Array
  /** Per inode; computed for directories, the tree's own number for everything else. */
  readonly nlinks: Uint32Array
  /** Per inode, for directories: where its entries begin in `nameAt` and `targets`; they end where `lastEntry` says. */
  readonly firstEntry: Uint32Array
  readonly lastEntry: Uint32Array
  /** The entries of all directories, `.` and `..` included, in byte order within each: where their names are in the heap. */
  readonly nameAt: Uint32Array
  readonly nameLength: Uint8Array
  /** The inode number each entry leads to. */
  readonly targets: Uint32Array
  /** Per inode: the directory it stands in under its primary name, and the entry that is that name. */
  readonly parents: Uint32Array
  readonly entryOf: Uint32Array
  /** Inode numbers of the whiteouts, and of the directories they stand in. */
  readonly whiteouts: ReadonlySet<number>
  readonly whiteoutParents: ReadonlySet<number>
  /** The id that all stubs have. */
  readonly stub: number
}

/** Lists the inodes of a tree; `children` when they are known already. */
export function listTree(tree: FlatTree, children?: Children): Listing {
  const known = children ?? childrenOf(tree, unexpectedDuplicate)
  const lister = new Lister(tree, known)
  lister.list()
  return lister
}

class Lister implements Listing {
  readonly tree: FlatTree
  readonly ids: Uint32Array
  readonly modes: Uint16Array
  readonly nlinks: Uint32Array
  readonly firstEntry: Uint32Array
  readonly lastEntry: Uint32Array
  readonly nameAt: Uint32Array
  readonly nameLength: Uint8Array
  readonly targets: Uint32Array
  readonly parents: Uint32Array
  readonly entryOf: Uint32Array
  readonly whiteouts = new Set<number>()
  readonly whiteoutParents = new Set<number>()
  readonly stub: number
  readonly #children: Children
  /** The entries that are further names; until the end their targets are ids. */
  readonly #links: number[] = []
  #inodeCount = 0
  #entryCount = 0

  /** Allocates everything once, at its full size. */
  constructor(tree: FlatTree, children: Children) {
    this.tree = tree
    this.#children = children
    const stubs = stubsOf(tree, children)
    const { inodes, directories } = countInodes(tree)
    this.stub = addStub(tree)
    const count = inodes + stubs.length
    this.ids = new Uint32Array(count)
    this.modes = new Uint16Array(count)
    this.nlinks = new Uint32Array(count)
    this.firstEntry = new Uint32Array(count)
    this.lastEntry = new Uint32Array(count)
    this.parents = new Uint32Array(count)
    this.entryOf = new Uint32Array(count)
    const entries = tree.names + stubs.length + 2 * directories
    this.nameAt = new Uint32Array(entries)
    this.nameLength = new Uint8Array(entries)
    this.targets = new Uint32Array(entries)
    this.#add(0, 0)
  }

  list(): void {
    const stubs = stubsOf(this.tree, this.#children)
    for (let number = 0; number < this.#inodeCount; number++) {
      this.firstEntry[number] = this.#entryCount
      if (((this.modes[number] as number) & S_IFMT) === S_IFDIR)
        this.#listDirectory(number, number === 0 ? [...dots, ...stubs] : dots)
      this.lastEntry[number] = this.#entryCount
    }
    this.#resolveLinks()
  }

  /** Lists the directory's children and the names that every directory, or the root, has besides. */
  #listDirectory(number: number, others: readonly (readonly [at: number, length: number])[]): void {
    const { tree } = this
    const directory = this.ids[number] as number
    const last = this.#children.first[directory + 1] as number
    let other = 0
    for (let i = this.#children.first[directory] as number; i < last; i++) {
      const base = (this.#children.order[i] as number) * nameWords
      const at = tree.nameWords[base + nameField.at] as number
      const length = tree.nameWords[base + nameField.length] as number
      for (let next = others[other]; next !== undefined; next = others[++other]) {
        if (compareBytes(tree.heap, next[0], next[1], at, length & nameLengthMask) > 0) break
        this.#addOther(number, next[0], next[1])
      }
      const inode = tree.nameWords[base + nameField.inode] as number
      this.#addChild(number, at, length, inode)
    }
    for (let next = others[other]; next !== undefined; next = others[++other]) this.#addOther(number, next[0], next[1])
  }

  #addChild(directory: number, at: number, length: number, inode: number): void {
    const entry = this.#entryCount++
    this.nameAt[entry] = at
    this.nameLength[entry] = length & nameLengthMask
    if ((length & furtherName) !== 0) {
      this.targets[entry] = inode
      this.#links.push(entry)
    } else {
      this.entryOf[this.#inodeCount] = entry
      this.targets[entry] = this.#inodeCount
      this.#add(inode, directory)
    }
  }

  #addOther(directory: number, at: number, length: number): void {
    const entry = this.#entryCount++
    this.nameAt[entry] = at
    this.nameLength[entry] = length
    if (at >= stubNameAt) {
      this.entryOf[this.#inodeCount] = entry
      this.targets[entry] = this.#inodeCount
      this.#add(this.stub, directory)
    } else this.targets[entry] = length === 1 ? directory : (this.parents[directory] as number)
  }

  #add(inode: number, parent: number): void {
    const number = this.#inodeCount++
    const { words } = this.tree
    const at = inode * inodeWords
    const mode = words[at + field.mode] as number
    const type = mode & S_IFMT
    this.ids[number] = inode
    this.parents[number] = parent
    this.modes[number] = mode
    this.nlinks[number] = type === S_IFDIR ? 2 : (words[at + field.nlink] as number)
    if (type === S_IFDIR && number > 0) this.nlinks[parent] = (this.nlinks[parent] as number) + 1
    if (type === S_IFCHR && words[at + field.rdev] === 0 && inode !== this.stub) {
      this.modes[number] = (mode & ~S_IFMT) | S_IFREG
      this.whiteouts.add(number)
      this.whiteoutParents.add(parent)
    }
  }

  #resolveLinks(): void {
    if (this.#links.length === 0) return
    const numbers = new Uint32Array(this.tree.inodes)
    for (let number = 0; number < this.#inodeCount; number++) numbers[this.ids[number] as number] = number
    for (const entry of this.#links) this.targets[entry] = numbers[this.targets[entry] as number] as number
  }
}

type HeapName = readonly [at: number, length: number]

const dots: readonly HeapName[] = [
  [dotsAt, 1],
  [dotsAt, 2],
]

/** A real whiteout in the root, for each of `00` … `ff` that the tree does not use itself. */
function stubsOf(tree: FlatTree, { first, order }: Children): HeapName[] {
  const used = new Set<string>()
  for (let i = first[0] as number; i < (first[1] as number); i++)
    if (tree.nameLength(order[i] as number) === 2) used.add(tree.name(order[i] as number))
  return Array.from({ length: 256 }, (_, i): HeapName => [stubNameAt + 2 * i, 2]).filter(
    ([at]) => !used.has(tree.heap.toString('latin1', at, at + 2)),
  )
}

function countInodes(tree: FlatTree): { inodes: number; directories: number } {
  let inodes = 1
  let directories = 1
  for (let name = 0; name < tree.names; name++) {
    const at = name * nameWords
    if (((tree.nameWords[at + nameField.length] as number) & furtherName) !== 0) continue
    inodes++
    if ((tree.mode(tree.nameWords[at + nameField.inode] as number) & S_IFMT) === S_IFDIR) directories++
  }
  return { inodes, directories }
}

/** Adds an inode that no name of the tree leads to, with the root's owner, time and label. */
function addStub(tree: FlatTree): number {
  const label = tree.xattrs(0).get('security.selinux')
  const stub = tree.addInode()
  const { words, floats } = tree
  const at = stub * inodeWords
  for (const copied of [field.uid, field.gid, field.mtimeNsec]) words[at + copied] = words[copied] as number
  words[at + field.mode] = S_IFCHR | 0o644
  words[at + field.nlink] = 1
  floats[stub * inodeFloats + floatField.mtime] = floats[floatField.mtime] as number
  if (label !== undefined) words[at + field.xattrs] = tree.xattrSets.push(new Map([['security.selinux', label]])) - 1
  return stub
}

function unexpectedDuplicate(name: number): never {
  throw new TypeError(`two names are equal in one directory: ${name}`)
}
