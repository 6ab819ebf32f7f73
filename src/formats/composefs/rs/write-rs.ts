/**
 * Writes a tree in the layout that composefs-rs had before it adopted mkcomposefs' (version 2 in the header): images sealed
 * by it live on in boot entries, so their digests still have to be computed. It differs from versions 0 and 1 in that
 *
 * - inodes come depth-first, a directory before what lies in it, all of them extended; an inode's number is its nid;
 * - there are no stubs, no opaque root, no marks for whiteouts, and times have whole seconds;
 * - an inode's attributes are metacopy, redirect, then the user's by name; all that two inodes have are shared, in a table
 *   that ascends by prefix index, suffix and value, and references count from the start of the image;
 * - a file's content lies behind its inode, whole or as one null chunk of the largest size.
 *
 * Made for trees of OCI images, where content in the image has at most 64 bytes.
 */
import { sizeOf } from '../../entry.ts'
import { type Directory, type Inode, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../../tree.ts'
import { externalContent } from '../external-content.ts'
import { composefsHeader, composefsHeaderVersion, composefsMagic, rsLayoutVersion } from '../composefs-header.ts'
import { type RsEntry, type RsNode, type RsXattr, limit, listNodes } from './rs-nodes.ts'
import {
  align,
  blockBits,
  blockSize,
  chunkBased,
  chunkBitsMask,
  compatMtime,
  compatXattrFilter,
  dirent,
  extended,
  fileTypes,
  flatInline,
  flatPlain,
  formatExtended,
  layoutShift,
  nullChunk,
  slotSize,
  superblock,
  superblockAt,
  superblockMagic,
  targetMax,
  xattrBody,
} from '../../erofs/erofs-records.ts'
import { shareXattrs } from './rs-xattrs.ts'

/** The image of a tree. Throws BAD_FORMAT for what is no tree, LIMIT for what the layout cannot hold. */
export function writeRsErofs(root: Directory): Uint8Array {
  const nodes = listNodes(root)
  const table = shareXattrs(nodes)
  const layout = place(nodes, table)
  return new RsImageWriter(nodes, table, layout).write()
}

interface RsLayout {
  readonly bytes: number
}

function place(nodes: readonly RsNode[], table: readonly RsXattr[]): RsLayout {
  let at = superblockAt + superblock.bytes
  for (const node of nodes) {
    measure(node)
    const meta = extended.bytes + node.xattrBytes
    if (layoutOf(node) === flatInline && straddles(at, meta, node.tail)) {
      const metaEnd = at + meta - 1
      at = align(at + blockSize - (metaEnd % blockSize), slotSize)
    }
    node.start = at
    at = align(at + meta + node.tail, slotSize)
  }
  for (const xattr of table) {
    xattr.offset = at
    at += xattr.bytes
  }
  let block = align(at, blockSize) / blockSize
  for (const node of nodes) {
    node.firstBlock = block
    block += node.blocks
  }
  return { bytes: block * blockSize }
}

/** Whether the inode has to move, as composefs-rs sees it: also when the tail would just fit, as the byte behind it is compared. */
function straddles(at: number, meta: number, tail: number): boolean {
  return Math.floor((at + meta - 1) / blockSize) !== Math.floor((at + meta + tail) / blockSize)
}

function measure(node: RsNode): void {
  const { inode, entries } = node
  if (entries !== undefined) return measureDirectory(node, entries)
  switch (inode.mode & S_IFMT) {
    case S_IFLNK:
      node.tail = checkedTarget(inode.target).length
      break
    case S_IFREG:
      node.tail = externalContent(inode) === undefined ? inlineBytes(inode).length : 4
  }
}

function measureDirectory(node: RsNode, entries: readonly RsEntry[]): void {
  let used = 0
  for (const { name } of entries) {
    const bytes = dirent.bytes + name.length
    if (used + bytes > blockSize) {
      node.blocks++
      used = 0
    }
    used += bytes
  }
  if (used > blockSize / 2) node.blocks++
  else node.tail = used
}

function inlineBytes(inode: Inode): Uint8Array {
  const { content } = inode
  const bytes = content.kind === 'inline' ? content.bytes : new Uint8Array(0)
  if (bytes.length >= blockSize) throw limit(`a file has ${bytes.length} bytes in the image`)
  return bytes
}

function layoutOf({ inode, tail }: RsNode): number {
  if (externalContent(inode) !== undefined) return chunkBased
  return tail > 0 ? flatInline : flatPlain
}

class RsImageWriter {
  readonly #nodes: readonly RsNode[]
  readonly #table: readonly RsXattr[]
  readonly #bytes: Buffer

  constructor(nodes: readonly RsNode[], table: readonly RsXattr[], { bytes }: RsLayout) {
    this.#nodes = nodes
    this.#table = table
    this.#bytes = Buffer.alloc(bytes)
  }

  write(): Uint8Array {
    this.#writeHeader()
    for (const node of this.#nodes) this.#writeInode(node)
    for (const xattr of this.#table) this.#writeXattr(xattr, xattr.offset)
    return this.#bytes
  }

  #writeHeader(): void {
    const bytes = this.#bytes
    bytes.writeUInt32LE(composefsMagic, composefsHeader.magic)
    bytes.writeUInt32LE(composefsHeaderVersion, composefsHeader.headerVersion)
    bytes.writeUInt32LE(rsLayoutVersion, composefsHeader.version)
    bytes.writeUInt32LE(superblockMagic, superblockAt + superblock.magic)
    bytes.writeUInt32LE(compatMtime | compatXattrFilter, superblockAt + superblock.featureCompat)
    bytes[superblockAt + superblock.blockBits] = blockBits
    bytes.writeUInt16LE(nidOf(this.#nodes[0] as RsNode), superblockAt + superblock.rootNid)
    this.#writeUInt64(this.#nodes.length, superblockAt + superblock.inodes)
    bytes.writeUInt32LE(bytes.length / blockSize, superblockAt + superblock.blocks)
  }

  #writeInode(node: RsNode): void {
    const { inode, start } = node
    const bytes = this.#bytes
    bytes.writeUInt16LE((layoutOf(node) << layoutShift) | formatExtended, start + extended.format)
    const count = node.xattrBytes === 0 ? 0 : 1 + (node.xattrBytes - xattrBody.bytes) / 4
    bytes.writeUInt16LE(count, start + extended.xattrCount)
    bytes.writeUInt16LE(inode.mode & 0xffff, start + extended.mode)
    this.#writeUInt64(sizeOfNode(node), start + extended.size)
    bytes.writeUInt32LE(unionOf(node), start + extended.union)
    bytes.writeUInt32LE(nidOf(node), start + extended.ino)
    bytes.writeUInt32LE(inode.uid, start + extended.uid)
    bytes.writeUInt32LE(inode.gid, start + extended.gid)
    this.#writeUInt64(inode.mtime, start + extended.mtime)
    bytes.writeUInt32LE(node.nlink, start + extended.nlink)
    if (node.xattrBytes > 0) this.#writeXattrs(node, start + extended.bytes)
    this.#writeBody(node, start + extended.bytes + node.xattrBytes)
  }

  #writeXattrs({ shared, local, nameFilter }: RsNode, at: number): void {
    this.#bytes.writeUInt32LE(nameFilter >>> 0, at + xattrBody.nameFilter)
    this.#bytes[at + xattrBody.sharedCount] = shared.length
    let to = at + xattrBody.bytes
    for (const { offset } of shared) to = this.#bytes.writeUInt32LE(offset / 4, to)
    for (const xattr of local) {
      this.#writeXattr(xattr, to)
      to += xattr.bytes
    }
  }

  #writeXattr({ index, suffix, value }: RsXattr, at: number): void {
    this.#bytes[at] = suffix.length
    this.#bytes[at + 1] = index
    this.#bytes.writeUInt16LE(value.length, at + 2)
    this.#bytes.write(suffix, at + 4, 'latin1')
    this.#bytes.set(value, at + 4 + suffix.length)
  }

  #writeBody(node: RsNode, tailAt: number): void {
    const { inode, entries } = node
    if (entries !== undefined) this.#writeDirectory(node, entries, tailAt)
    else if ((inode.mode & S_IFMT) === S_IFLNK) this.#bytes.write(inode.target, tailAt, 'latin1')
    else if (externalContent(inode) !== undefined) this.#bytes.writeUInt32LE(nullChunk, tailAt)
    else if (inode.content.kind === 'inline') this.#bytes.set(inode.content.bytes, tailAt)
  }

  #writeDirectory(node: RsNode, entries: readonly RsEntry[], tailAt: number): void {
    let from = 0
    for (let block = 0; from < entries.length; block++) {
      let used = 0
      let to = from
      for (; to < entries.length; to++) {
        used += dirent.bytes + (entries[to] as RsEntry).name.length
        if (used > blockSize) break
      }
      const at = block < node.blocks ? (node.firstBlock + block) * blockSize : tailAt
      this.#writeEntries(entries.slice(from, to), at)
      from = to
    }
  }

  #writeEntries(entries: readonly RsEntry[], at: number): void {
    let nameAt = entries.length * dirent.bytes
    entries.forEach(({ name, target }, i) => {
      const node = this.#nodes[target] as RsNode
      const entryAt = at + i * dirent.bytes
      this.#writeUInt64(nidOf(node), entryAt + dirent.nid)
      this.#bytes.writeUInt16LE(nameAt, entryAt + dirent.nameOffset)
      this.#bytes[entryAt + dirent.fileType] = fileTypes[(node.inode.mode & S_IFMT) >> 12] ?? 0
      nameAt += this.#bytes.write(name, at + nameAt, 'latin1')
    })
  }

  #writeUInt64(value: number, at: number): void {
    this.#bytes.writeBigInt64LE(BigInt(value), at)
  }
}

function nidOf({ start }: RsNode): number {
  return start / slotSize
}

function sizeOfNode({ inode, entries, blocks, tail }: RsNode): number {
  if (entries !== undefined) return blocks * blockSize + tail
  const content = externalContent(inode)
  return content === undefined ? tail : sizeOf(content)
}

/** A directory without blocks of its own names none, unless it is all of it: there is always an inline part then. */
function unionOf({ inode, blocks, firstBlock }: RsNode): number {
  if (externalContent(inode) !== undefined) return chunkBitsMask
  switch (inode.mode & S_IFMT) {
    case S_IFDIR:
      return blocks > 0 ? firstBlock : 0
    case S_IFREG:
    case S_IFLNK:
      return 0
    default:
      return inode.rdev
  }
}

function checkedTarget(target: string): string {
  if (target === '' || target.length > targetMax)
    throw limit(`a symlink's target has ${target.length} bytes; expected 1 to ${targetMax}`)
  return target
}
