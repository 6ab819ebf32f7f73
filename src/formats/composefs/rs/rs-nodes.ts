/** The inodes of a tree as layout 2 lists them (write-v2.ts). */
import { OnefoldError } from '../../../error.ts'
import { type Directory, type Inode, compareNames, isDirectory, isHardLink } from '../../tree.ts'
import { nameMax } from '../../erofs/erofs-records.ts'
import type { Xattr } from './rs-xattrs.ts'

/** One inode of the image. */
export interface Node {
  readonly inode: Inode
  readonly parent: number
  nlink: number
  /** Of a directory, `.` and `..` included, in byte order once all are there. */
  readonly entries: DirectoryEntry[] | undefined
  shared: Xattr[]
  local: Xattr[]
  xattrBytes: number
  nameFilter: number
  /** Filled in by `place`. */
  start: number
  /** The bytes behind inode and attributes, and the blocks elsewhere. */
  tail: number
  blocks: number
  firstBlock: number
}

export interface DirectoryEntry {
  readonly name: string
  readonly target: number
}

/** Depth-first; a hard-linked inode stands at its first name. Without recursion: a tree may be as deep as it likes. */
export function listNodes(root: Directory): Node[] {
  const nodes: Node[] = []
  const numbers = new Map<Inode, number>()
  const open = [openDirectory(nodes, root, 0)]
  for (let current = open.at(-1); current !== undefined; current = open.at(-1)) {
    const { value: name, done } = current.names.next()
    if (done === true) {
      open.pop()
      current.entries.sort((a, b) => compareNames(a.name, b.name))
      continue
    }
    const child = current.directory.children.get(name)
    if (child === undefined) throw new Error('a directory changed while it was listed')
    const inode = isHardLink(child) ? child.linkTo : child
    const known = numbers.get(inode)
    if (known !== undefined) {
      ;(nodes[known] as Node).nlink++
      current.entries.push({ name, target: known })
      continue
    }
    const number = nodes.length
    current.entries.push({ name: checkedName(name), target: number })
    if (isDirectory(inode)) {
      ;(nodes[current.number] as Node).nlink++
      open.push(openDirectory(nodes, inode, current.number))
    } else {
      numbers.set(inode, number)
      nodes.push(newNode(inode, current.number, undefined))
    }
  }
  return nodes
}

interface OpenDirectory {
  readonly directory: Directory
  readonly number: number
  readonly entries: DirectoryEntry[]
  readonly names: Iterator<string, undefined>
}

function openDirectory(nodes: Node[], directory: Directory, parent: number): OpenDirectory {
  const number = nodes.length
  const entries = [
    { name: '.', target: number },
    { name: '..', target: parent },
  ]
  nodes.push(newNode(directory, parent, entries))
  return { directory, number, entries, names: [...directory.children.keys()].sort(compareNames).values() }
}

function newNode(inode: Inode, parent: number, entries: DirectoryEntry[] | undefined): Node {
  return {
    inode,
    parent,
    nlink: entries === undefined ? 1 : 2,
    entries,
    shared: [],
    local: [],
    xattrBytes: 0,
    nameFilter: 0xffffffff,
    start: 0,
    tail: 0,
    blocks: 0,
    firstBlock: 0,
  }
}

function checkedName(name: string): string {
  if (name === '' || name.length > nameMax) throw limit(`a name has ${name.length} bytes; expected 1 to ${nameMax}`)
  return name
}

export function limit(found: string): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot write image in layout 2: ${found}`)
}
