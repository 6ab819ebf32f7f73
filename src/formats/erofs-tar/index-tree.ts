/**
 * Builds the tree that an index shows: what mkfs.erofs makes of the entries of a tar with `--aufs`, with whiteouts as overlayfs
 * has them.
 *
 * A layer that comes back as another one from such a tree is refused, though mkfs.erofs may take it; where losses are
 * allowed, it becomes the nearest one that comes back as itself.
 */
import { type Entry, sizeOf } from '../entry.ts'
import { packDevice, typeBits } from '../node-type.ts'
import { opaqueMarker, whiteoutPrefix } from '../oci/whiteouts.ts'
import {
  type IndexDirectory,
  type IndexInode,
  type IndexStamp,
  impliedIn,
  impliedRoot,
  isDirectory,
  isWhiteout,
  newInode,
} from './index-inode.ts'
import { type OnLoss, cannotHold, reportLoss } from './index-losses.ts'
import { heldXattrs } from './index-xattrs.ts'

export class IndexTree {
  readonly root: IndexDirectory
  readonly #buildTime: number
  readonly #onLoss: OnLoss | undefined

  /** @param onLoss is told what became another thing; without it nothing may, and UNSUPPORTED is thrown */
  constructor(stamp: IndexStamp, onLoss: OnLoss | undefined) {
    this.root = impliedRoot(stamp)
    this.#buildTime = stamp.buildTime
    this.#onLoss = onLoss
  }

  /**
   * Takes the next entry of the tar.
   * @param contentAt where the content of a file begins
   */
  add(entry: Entry, contentAt: number): void {
    if (entry.path === '') return this.#addDirectory(entry, this.root)
    const slash = entry.path.lastIndexOf('/')
    const parent = this.#parentOf(entry, entry.path.slice(0, Math.max(slash, 0)))
    const name = entry.path.slice(slash + 1)
    if (name === opaqueMarker) this.#addMarker(entry, parent)
    else if (name.startsWith(whiteoutPrefix)) this.#addWhiteout(entry, parent, name.slice(whiteoutPrefix.length))
    else this.#addNamed(entry, contentAt, parent, name)
  }

  /** Finds the directory of a path, or makes it where no entry did so far. */
  #parentOf(entry: Entry, path: string): IndexDirectory {
    let parent = this.root
    for (const name of path === '' ? [] : path.split('/')) {
      const child = parent.children.get(name) ?? impliedIn(parent)
      if (!isDirectory(child)) throw cannotHold(entry.path, 'what lies below something that is no directory')
      parent.children.set(name, child)
      parent = child
    }
    return parent
  }

  #addMarker({ path }: Entry, parent: IndexDirectory): void {
    if (parent.isOpaque) this.#lose(path, 'a name twice')
    parent.isOpaque = true
  }

  #addWhiteout(entry: Entry, parent: IndexDirectory, name: string): void {
    if (name === '' || name === '.' || name === '..') throw cannotHold(entry.path, 'a whiteout of no name')
    parent.hasWhiteouts = true
    const child = parent.children.get(name)
    if (child === undefined) parent.children.set(name, this.#whiteoutOf(entry))
    else {
      this.#lose(entry.path, isWhiteout(child) ? 'a name twice' : 'a whiteout and something else of one name')
      if (isDirectory(child)) child.isOpaque = true
    }
  }

  #addNamed(entry: Entry, contentAt: number, parent: IndexDirectory, name: string): void {
    const before = parent.children.get(name)
    if (entry.type === 'directory' && before !== undefined && isDirectory(before))
      return this.#addDirectory(entry, before)
    const inode = entry.type === 'hardlink' ? this.#targetOf(entry) : this.#inodeOf(entry, contentAt)
    if (before !== undefined) this.#replace(entry, before, inode)
    inode.names++
    parent.children.set(name, inode)
    if (isWhiteout(inode)) parent.hasWhiteouts = true
  }

  #addDirectory(entry: Entry, directory: IndexDirectory): void {
    if (!directory.isImplied) this.#lose(entry.path, 'a name twice')
    Object.assign(directory, this.#metadataOf(entry), { isImplied: false })
  }

  #replace({ path }: Entry, before: IndexInode, inode: IndexInode): void {
    const what = isWhiteout(before) ? 'a whiteout and something else of one name' : 'a name twice'
    this.#lose(path, what)
    forgetName(before)
    if (isWhiteout(before) && isDirectory(inode)) inode.isOpaque = true
  }

  #targetOf({ path, link }: Entry): IndexInode {
    let inode: IndexInode | undefined = this.root
    for (const name of link.split('/')) inode = inode?.children?.get(name)
    if (inode === undefined || isDirectory(inode) || isWhiteout(inode))
      throw cannotHold(path, 'a hard link to what is not in the layer before it')
    return inode
  }

  #inodeOf(entry: Entry, contentAt: number): IndexInode {
    return newInode({
      ...this.#metadataOf(entry),
      rdev: packDevice(entry),
      target: entry.type === 'symlink' ? entry.link : '',
      size: sizeOf(entry.content),
      contentAt,
      ...(entry.type === 'directory' ? { children: new Map() } : {}),
    })
  }

  /** Makes a whiteout of an entry whose type and permissions say nothing. */
  #whiteoutOf(entry: Entry): IndexInode {
    return newInode({ ...this.#metadataOf(entry), mode: typeBits.char, names: 1 })
  }

  #metadataOf(entry: Entry): Pick<IndexInode, 'mode' | 'uid' | 'gid' | 'mtime' | 'mtimeNsec' | 'xattrs'> {
    const { path, mode, uid, gid, mtime, mtimeNsec } = entry
    const isLost = mtime === this.#buildTime && mtimeNsec !== 0
    if (isLost) this.#lose(path, `a fraction of the second ${mtime}`)
    const xattrs = heldXattrs(entry, (what) => this.#lose(path, what))
    return { mode: typeBits[entry.type] | mode, uid, gid, mtime, mtimeNsec: isLost ? 0 : mtimeNsec, xattrs }
  }

  #lose(path: string, what: string): void {
    reportLoss(path, what, this.#onLoss)
  }
}

/** Takes a name from an inode, and from all that lies below it. */
function forgetName(inode: IndexInode): void {
  const pending = [inode]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    next.names--
    pending.push(...(next.children?.values() ?? []))
  }
}
