/** The inodes of a tree in the order in which composefs-rs' own layout lists them (write-rs.ts). */
import { OnefoldError } from '../../../error.ts'
import { nameMax } from '../../erofs/erofs-records.ts'
import { type Directory, type Inode, compareNames, inodeOf, isDirectory, namesBelow } from '../../tree.ts'

/** An inode of the image. */
export interface RsNode {
  readonly inode: Inode
  nlink: number
  /** The entries of a directory, `.` and `..` included, in byte order once all are there. */
  readonly entries: RsEntry[] | undefined
  shared: RsXattr[]
  local: RsXattr[]
  xattrBytes: number
  nameFilter: number
  /** Offset of the inode; filled in when it is placed, as what follows. */
  start: number
  /** The bytes behind inode and attributes, and the blocks elsewhere. */
  tail: number
  blocks: number
  firstBlock: number
}

export interface RsEntry {
  readonly name: string
  readonly target: number
}

/** An attribute, name and value: one for all inodes that have it. */
export interface RsXattr {
  readonly index: number
  readonly suffix: string
  readonly value: Buffer
  readonly bytes: number
  /** How many inodes have it, and where the table has it. */
  uses: number
  offset: number
}

/** Lists inodes depth-first; a hard-linked one stands at its first name. */
export function listNodes(root: Directory): RsNode[] {
  const nodes = [newNode(root, 0, 0)]
  const numbers = new Map<Inode, number>([[root, 0]])
  for (const { directory, name, child } of namesBelow(root)) {
    const parent = numbers.get(directory) as number
    const inode = inodeOf(child)
    const known = numbers.get(inode)
    const number = known ?? nodes.length
    if (known === undefined) {
      numbers.set(inode, number)
      nodes.push(newNode(inode, number, parent))
    }
    addName(nodes, parent, { name: checkedName(name), target: number }, known !== undefined)
  }
  for (const { entries } of nodes) entries?.sort((a, b) => compareNames(a.name, b.name))
  return nodes
}

/** A further name is one more link to its inode, a subdirectory one more to the directory that it lies in. */
function addName(nodes: readonly RsNode[], parent: number, entry: RsEntry, isFurther: boolean): void {
  const [directory, target] = [nodes[parent] as RsNode, nodes[entry.target] as RsNode]
  directory.entries?.push(entry)
  if (isFurther) target.nlink++
  else if (target.entries !== undefined) directory.nlink++
}

function newNode(inode: Inode, number: number, parent: number): RsNode {
  const entries = isDirectory(inode)
    ? [
        { name: '.', target: number },
        { name: '..', target: parent },
      ]
    : undefined
  return {
    inode,
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
  return new OnefoldError('LIMIT', `Cannot write image in composefs-rs' layout: ${found}`)
}
