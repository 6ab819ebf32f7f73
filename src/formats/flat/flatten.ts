/** Conversion of trees of objects to columns, and back. */
import { OnefoldError } from '../../error.ts'
import type { VerityDigest } from '../../digest.ts'
import { type Content, type Xattrs, noContent } from '../entry.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  compareNames,
  isDirectory,
  isHardLink,
} from '../tree.ts'
import { nameMax } from '../erofs/erofs-records.ts'
import {
  FlatTree,
  digestAt,
  field,
  floatField,
  furtherName,
  inodeBytes,
  inodeFloats,
  inodeWords,
  kind,
  nameField,
  nameWords,
} from './flat-tree.ts'

/**
 * Makes columns of a tree. Throws BAD_FORMAT for what is no tree: a bad name, a hard link to nothing, an inode that is
 * and is no directory.
 */
export function flatten(root: Directory): FlatTree {
  return new Flattener().run(root)
}

class Flattener {
  readonly #tree = new FlatTree()
  readonly #xattrs = new Map<Xattrs, number>([[this.#tree.xattrSets[0] as Xattrs, 0]])
  /** Ids of inodes that have further names, once they are known. */
  readonly #linked = new Map<Inode, number | undefined>()
  readonly #links: { readonly name: number; readonly linkTo: Inode }[] = []

  run(root: Directory): FlatTree {
    this.#findLinks(root)
    const queue: Directory[] = [root]
    const ids = [this.#add(root)]
    for (let i = 0; i < queue.length; i++) {
      const directory = queue[i] as Directory
      const id = ids[i] as number
      for (const name of [...directory.children.keys()].sort(compareNames)) {
        const child = directory.children.get(name) as Child
        const added = this.#place(id, name, child)
        if (!isDirectory(child)) continue
        queue.push(child)
        ids.push(added)
      }
    }
    this.#resolveLinks()
    return this.#tree
  }

  #findLinks(root: Directory): void {
    const pending = [root]
    for (let next = pending.pop(); next !== undefined; next = pending.pop())
      for (const child of next.children.values())
        if (isHardLink(child)) this.#linked.set(child.linkTo, undefined)
        else if (isDirectory(child)) pending.push(child)
  }

  /** Adds a child; returns the id of the inode, if it is one. */
  #place(directory: number, name: string, child: Child): number {
    const tree = this.#tree
    if (isBadName(name)) throw badName(name)
    const at = tree.addText(checkedText(name))
    if (isHardLink(child)) {
      this.#links.push({ name: tree.addName(directory, 0, at, name.length | furtherName), linkTo: child.linkTo })
      return 0
    }
    const inode = this.#add(child)
    tree.addName(directory, inode, at, name.length)
    return inode
  }

  #resolveLinks(): void {
    for (const { name, linkTo } of this.#links) {
      const id = this.#linked.get(linkTo)
      if (id === undefined || isDirectory(linkTo))
        throw new OnefoldError('BAD_FORMAT', 'Cannot write image: a hard link leads to no file of the tree')
      this.#tree.nameWords[name * nameWords + nameField.inode] = id
    }
  }

  #add(inode: Inode): number {
    const tree = this.#tree
    const type = inode.mode & S_IFMT
    if ((type === S_IFDIR) !== (inode.children !== undefined)) throw inconsistent(inode)
    const id = tree.addInode()
    const at = id * inodeWords
    const { words, floats } = tree
    words[at + field.mode] = inode.mode
    words[at + field.uid] = inode.uid
    words[at + field.gid] = inode.gid
    words[at + field.rdev] = inode.rdev
    words[at + field.nlink] = inode.nlink
    words[at + field.mtimeNsec] = inode.mtimeNsec
    words[at + field.xattrs] = this.#xattrSet(inode.xattrs)
    floats[id * inodeFloats + floatField.mtime] = inode.mtime
    setContent(tree, id, inode.content)
    if (type === S_IFLNK) tree.setText(id, checkedText(inode.target))
    if (this.#linked.size > 0 && this.#linked.has(inode)) this.#linked.set(inode, id)
    return id
  }

  #xattrSet(xattrs: Xattrs): number {
    if (xattrs.size === 0) return 0
    let set = this.#xattrs.get(xattrs)
    if (set === undefined) {
      this.#xattrs.set(xattrs, (set = this.#tree.xattrSets.length))
      this.#tree.xattrSets.push(xattrs)
    }
    return set
  }
}

/** Sets the content of a new inode. */
export function setContent(tree: FlatTree, id: number, content: Content): void {
  const at = id * inodeWords
  switch (content.kind) {
    case 'empty':
      return
    case 'inline':
      tree.words[at + field.kind] = kind.inline
      tree.words[at + field.textAt] = tree.addBytes(content.bytes, 0, content.bytes.length)
      tree.words[at + field.textLength] = content.bytes.length
      tree.floats[id * inodeFloats + floatField.size] = content.bytes.length
      return
    case 'object':
      tree.bytes.write(content.digest, id * inodeBytes + digestAt, 32, 'hex')
      tree.words[at + field.kind] = content.path === undefined ? kind.object : kind.foreign
      if (content.digest.length === 128) setWide(tree, id, content.digest)
      break
    case 'unknown':
      tree.words[at + field.kind] = kind.unknown
  }
  tree.floats[id * inodeFloats + floatField.size] = content.size
  if (content.path !== undefined) tree.setText(id, content.path)
}

function setWide(tree: FlatTree, id: number, digest: string): void {
  tree.hasWideDigests = true
  tree.words[id * inodeWords + field.kind] = kind.foreign
  tree.setText(id, `${digest.slice(0, 2)}/${digest.slice(2)}`)
}

/** Makes objects of the tree of columns. */
export function unflatten(tree: FlatTree): Directory {
  const inodes = Array.from({ length: tree.inodes }, (_, id) => inodeAt(tree, id))
  for (let name = 0; name < tree.names; name++) {
    const at = name * nameWords
    const inode = inodes[tree.nameWords[at + nameField.inode] as number] as Inode
    const parent = inodes[tree.nameWords[at + nameField.directory] as number] as Inode
    const isFurther = ((tree.nameWords[at + nameField.length] as number) & furtherName) !== 0
    parent.children?.set(tree.name(name), isFurther ? { linkTo: inode } : inode)
    if (inode.children !== undefined) parent.nlink++
  }
  const [root] = inodes
  if (root === undefined || !isDirectory(root)) throw new TypeError('a tree without a root')
  return root
}

function inodeAt(tree: FlatTree, id: number): Inode {
  const { words, floats } = tree
  const at = id * inodeWords
  const mode = words[at + field.mode] as number
  const type = mode & S_IFMT
  return {
    mode,
    uid: words[at + field.uid] as number,
    gid: words[at + field.gid] as number,
    mtime: floats[id * inodeFloats + floatField.mtime] as number,
    mtimeNsec: words[at + field.mtimeNsec] as number,
    rdev: words[at + field.rdev] as number,
    nlink: type === S_IFDIR ? 2 : (words[at + field.nlink] as number),
    xattrs: tree.xattrs(id),
    content: contentAt(tree, id),
    target: type === S_IFLNK ? tree.text(id) : '',
    children: type === S_IFDIR ? new Map<string, Child>() : undefined,
  }
}

export function contentAt(tree: FlatTree, id: number): Content {
  const size = tree.size(id)
  switch (tree.words[id * inodeWords + field.kind] as number) {
    case kind.inline: {
      const at = tree.words[id * inodeWords + field.textAt] as number
      return { kind: 'inline', bytes: new Uint8Array(tree.heap.subarray(at, at + size)) }
    }
    case kind.object:
      return { kind: 'object', digest: tree.digest(id) as VerityDigest, size }
    case kind.foreign:
      if (tree.hasWideDigests) return { kind: 'object', digest: tree.digest(id) as VerityDigest, size }
      return { kind: 'object', digest: tree.digest(id) as VerityDigest, size, path: tree.text(id) }
    case kind.unknown: {
      const path = tree.text(id)
      return path === '' ? { kind: 'unknown', size } : { kind: 'unknown', size, path }
    }
    default:
      return noContent
  }
}

function checkedText(text: string): string {
  if (text.includes('\0') || /[\u0100-\uffff]/.test(text)) throw badChar(text)
  return text
}

function isBadName(name: string): boolean {
  return name === '' || name.length > nameMax || name === '.' || name === '..' || name.includes('/')
}

function inconsistent({ mode }: Inode): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write image: an inode's mode 0${mode.toString(8)} and its children disagree on whether it is a directory`,
  )
}

function badName(name: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write name ${JSON.stringify(name.slice(0, 300))}: expected 1 to ${nameMax} bytes without a slash, and neither "." nor ".."`,
  )
}

function badChar(text: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write name ${JSON.stringify(text.slice(0, 300))}: expected chars that stand for bytes, none of them zero`,
  )
}
