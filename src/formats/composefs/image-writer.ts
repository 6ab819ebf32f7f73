/** The last pass of the writer: everything that was decided, as bytes in the order of the image. */
import { OnefoldError } from '../../error.ts'
import { type FlatTree, field, floatField, inodeFloats, inodeWords } from '../flat/flat-tree.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { composefsHasAcl, composefsHeader, composefsHeaderVersion, composefsMagic } from './composefs-header.ts'
import { writeMetacopy, writeRedirect } from './flat-external.ts'
import { type Layout, chunkBitsOf } from './image-layout.ts'
import type { Listing } from './tree-listing.ts'
import {
  blockBits,
  blockSize,
  chunkBased,
  compact,
  compatMtime,
  compatXattrFilter,
  dirent,
  extended,
  fileTypes,
  formatExtended,
  layoutShift,
  sharedRefsMax,
  slotSize,
  superblock,
  superblockAt,
  superblockMagic,
  xattrBody,
} from '../erofs/erofs-records.ts'
import { type ImageXattr, metacopyMarker, redirectMarker } from './image-xattr.ts'
import type { ErofsPlan } from './plan-image.ts'
import type { XattrTable } from './xattr-table.ts'
import type { Window } from './image-window.ts'

export class ImageWriter {
  readonly #window: Window
  readonly #tree: FlatTree
  readonly #listing: Listing
  readonly #xattrs: XattrTable
  readonly #layout: Layout
  readonly #version: number
  /** Offset that references to the shared table count from: that of the block the table begins in. */
  readonly #sharedBase: number
  /** The next free data block. */
  #block: number

  constructor({ listing, xattrs, layout, version }: ErofsPlan, window: Window) {
    this.#window = window
    this.#tree = listing.tree
    this.#listing = listing
    this.#xattrs = xattrs
    this.#layout = layout
    this.#version = version
    this.#sharedBase = layout.inodesEnd % blockSize
    this.#block = layout.dataStart / blockSize
  }

  /** Writes the image from the first byte to the last. */
  write(): void {
    this.#writeHeader()
    this.#writeInodes()
    this.#writeSharedXattrs()
    this.#writeBlocks()
  }

  #writeHeader(): void {
    const layout = this.#layout
    this.#window.need(0, superblockAt + superblock.bytes)
    const { view } = this.#window
    view.setUint32(composefsHeader.magic, composefsMagic, true)
    view.setUint32(composefsHeader.headerVersion, composefsHeaderVersion, true)
    view.setUint32(composefsHeader.flags, this.#xattrs.hasAcl ? composefsHasAcl : 0, true)
    view.setUint32(composefsHeader.version, this.#version, true)
    view.setUint32(superblockAt + superblock.magic, superblockMagic, true)
    view.setUint32(superblockAt + superblock.featureCompat, compatMtime | compatXattrFilter, true)
    view.setUint8(superblockAt + superblock.blockBits, blockBits)
    view.setUint16(superblockAt + superblock.rootNid, this.#nid(0), true)
    setUint64(view, superblockAt + superblock.inodes, this.#listing.ids.length)
    setUint64(view, superblockAt + superblock.buildTime, layout.mtime)
    view.setUint32(superblockAt + superblock.buildTimeNsec, layout.mtimeNsec, true)
    view.setUint32(superblockAt + superblock.blocks, layout.bytes / blockSize, true)
    view.setUint32(superblockAt + superblock.xattrBlock, Math.floor(layout.inodesEnd / blockSize), true)
  }

  #writeInodes(): void {
    const { ids } = this.#listing
    for (let number = 0; number < ids.length; number++) {
      const isExtended = this.#layout.extended[number] === 1
      const area = this.#layout.areas[number] as number
      const record = isExtended ? extended.bytes : compact.bytes
      const tail = this.#layout.tails[number] as number
      const at = this.#window.need(this.#layout.starts[number] as number, record + area + tail)
      const union = this.#union(number)
      this.#block += this.#layout.blocks[number] as number
      if (isExtended) this.#writeExtended(at, number, union)
      else this.#writeCompact(at, number, union)
      if (area > 0) this.#writeXattrs(at + record, number)
      if (tail > 0) this.#writeTail(at + record + area, number, tail)
    }
  }

  #writeSharedXattrs(): void {
    for (const { encoded, offset } of this.#xattrs.shared) {
      const at = this.#window.need(this.#layout.inodesEnd + offset, encoded.length)
      this.#window.bytes.set(encoded, at)
    }
  }

  /** Writes what lies in blocks of its own, in the order of the inodes. */
  #writeBlocks(): void {
    const { blocks } = this.#layout
    let position = this.#layout.dataStart
    for (let number = 0; number < blocks.length; number++) {
      const count = blocks[number] as number
      if (count === 0) continue
      this.#writeBlocksOf(position, number, count)
      position += count * blockSize
    }
  }

  #nid(number: number): number {
    return (this.#layout.starts[number] as number) / slotSize
  }

  /** i_u. A chunk-based inode keeps the high half of the number of a block it may own; so does mkcomposefs. */
  #union(number: number): number {
    const block = (this.#layout.blocks[number] as number) > 0 ? this.#block : 0
    if (this.#layout.kinds[number] === chunkBased)
      return ((block & 0xffff0000) | (chunkBitsOf(this.#layout.sizes[number] as number) - blockBits)) >>> 0
    const inode = this.#listing.ids[number] as number
    switch (this.#tree.mode(inode) & S_IFMT) {
      case S_IFDIR:
      case S_IFLNK:
      case S_IFREG:
        return block
      default:
        return this.#listing.whiteouts.has(number) ? 0 : (this.#tree.words[inode * inodeWords + field.rdev] as number)
    }
  }

  #writeCompact(at: number, number: number, union: number): void {
    const { view } = this.#window
    const { words } = this.#tree
    const inode = (this.#listing.ids[number] as number) * inodeWords
    view.setUint16(at + compact.format, (this.#layout.kinds[number] as number) << layoutShift, true)
    view.setUint16(at + compact.xattrCount, xattrCount(this.#layout.areas[number] as number), true)
    view.setUint16(at + compact.mode, this.#listing.modes[number] as number, true)
    view.setUint16(at + compact.nlink, this.#listing.nlinks[number] as number, true)
    view.setUint32(at + compact.size, this.#layout.sizes[number] as number, true)
    view.setUint32(at + compact.union, union, true)
    view.setUint32(at + compact.ino, number, true)
    view.setUint16(at + compact.uid, words[inode + field.uid] as number, true)
    view.setUint16(at + compact.gid, words[inode + field.gid] as number, true)
  }

  #writeExtended(at: number, number: number, union: number): void {
    const { view } = this.#window
    const { words, floats } = this.#tree
    const id = this.#listing.ids[number] as number
    const inode = id * inodeWords
    const format = ((this.#layout.kinds[number] as number) << layoutShift) | formatExtended
    view.setUint16(at + extended.format, format, true)
    view.setUint16(at + extended.xattrCount, xattrCount(this.#layout.areas[number] as number), true)
    view.setUint16(at + extended.mode, this.#listing.modes[number] as number, true)
    setUint64(view, at + extended.size, this.#layout.sizes[number] as number)
    view.setUint32(at + extended.union, union, true)
    view.setUint32(at + extended.ino, number, true)
    view.setUint32(at + extended.uid, words[inode + field.uid] as number, true)
    view.setUint32(at + extended.gid, words[inode + field.gid] as number, true)
    setUint64(view, at + extended.mtime, floats[id * inodeFloats + floatField.mtime] as number)
    view.setUint32(at + extended.mtimeNsec, words[inode + field.mtimeNsec] as number, true)
    view.setUint32(at + extended.nlink, this.#listing.nlinks[number] as number, true)
  }

  /** Writes references to the shared table, then what is the inode's own; each in ascending order of name. */
  #writeXattrs(at: number, number: number): void {
    const table = this.#xattrs
    const { attributes, filter } = table.of(number)
    const { view } = this.#window
    let refs = 0
    for (const attribute of attributes) {
      const shared = refs < sharedRefsMax ? table.sharedOf(number, attribute) : undefined
      if (shared === undefined) continue
      view.setUint32(at + xattrBody.bytes + 4 * refs, (this.#sharedBase + shared.offset) / 4, true)
      refs++
    }
    view.setUint32(at + xattrBody.nameFilter, filter, true)
    view.setUint8(at + xattrBody.sharedCount, refs)
    if (refs < attributes.length) this.#writeLocalXattrs(at + xattrBody.bytes + 4 * refs, number, attributes, refs)
  }

  /** Writes all attributes but the first `refs` that are shared. */
  #writeLocalXattrs(at: number, number: number, attributes: readonly ImageXattr[], refs: number): void {
    const { bytes } = this.#window
    const inode = this.#listing.ids[number] as number
    let skipped = 0
    let local = at
    for (const attribute of attributes) {
      if (skipped < refs && this.#xattrs.sharedOf(number, attribute) !== undefined) skipped++
      else if (attribute === metacopyMarker) local = writeMetacopy(bytes, local, this.#tree, inode)
      else if (attribute === redirectMarker) local = writeRedirect(bytes, local, this.#tree, inode)
      else {
        bytes.set(attribute.encoded, local)
        local += attribute.encoded.length
      }
    }
  }

  /** Writes what follows the inode: the last part of what it holds. */
  #writeTail(at: number, number: number, tail: number): void {
    if (this.#layout.kinds[number] === chunkBased) this.#window.bytes.fill(0xff, at, at + tail)
    else if (((this.#listing.modes[number] as number) & S_IFMT) === S_IFDIR)
      this.#writeEntries(at, this.#firstOfTail(number), this.#listing.lastEntry[number] as number)
    else this.#writeText(at, number, this.#textLength(number) - tail, tail)
  }

  /** The first of the entries that stand behind the directory: all blocks before are filled greedily. */
  #firstOfTail(number: number): number {
    let from = this.#listing.firstEntry[number] as number
    for (let block = 0; block < (this.#layout.blocks[number] as number); block++)
      from = this.#endOfBlock(from, this.#listing.lastEntry[number] as number)
    return from
  }

  #endOfBlock(from: number, last: number): number {
    const { nameLength } = this.#listing
    let to = from
    for (let used = 0; to < last; to++) {
      used += dirent.bytes + (nameLength[to] as number)
      if (used > blockSize) break
    }
    return to
  }

  #writeBlocksOf(position: number, number: number, count: number): void {
    if (((this.#listing.modes[number] as number) & S_IFMT) === S_IFDIR) {
      let from = this.#listing.firstEntry[number] as number
      for (let block = 0; block < count; block++) {
        const to = this.#endOfBlock(from, this.#listing.lastEntry[number] as number)
        this.#writeEntries(this.#window.need(position + block * blockSize, blockSize), from, to)
        from = to
      }
    } else {
      const at = this.#window.need(position, count * blockSize)
      if (this.#layout.kinds[number] === chunkBased) this.#window.bytes.fill(0xff, at, at + blockSize)
      else this.#writeText(at, number, 0, this.#textLength(number) - (this.#layout.tails[number] as number))
    }
  }

  #textLength(number: number): number {
    return this.#tree.words[(this.#listing.ids[number] as number) * inodeWords + field.textLength] as number
  }

  /** Writes `length` bytes of a symlink's target, or of content. */
  #writeText(at: number, number: number, skip: number, length: number): void {
    const { bytes } = this.#window
    const { heap, words } = this.#tree
    const from = (words[(this.#listing.ids[number] as number) * inodeWords + field.textAt] as number) + skip
    for (let i = 0; i < length; i++) bytes[at + i] = heap[from + i] as number
  }

  #writeEntries(at: number, from: number, to: number): void {
    const { view, bytes } = this.#window
    const { heap } = this.#tree
    const { nameAt, nameLength, targets, modes } = this.#listing
    let nameOffset = (to - from) * dirent.bytes
    for (let entry = from; entry < to; entry++) {
      const target = targets[entry] as number
      const entryAt = at + (entry - from) * dirent.bytes
      setUint64(view, entryAt + dirent.nid, this.#nid(target))
      view.setUint16(entryAt + dirent.nameOffset, nameOffset, true)
      view.setUint8(entryAt + dirent.fileType, fileTypeOf(modes[target] as number))
      const name = nameAt[entry] as number
      const length = nameLength[entry] as number
      for (let i = 0; i < length; i++) bytes[at + nameOffset + i] = heap[name + i] as number
      nameOffset += length
    }
  }
}

/** Writes a number as two's complement, so that it serves times before 1970 too. */
function setUint64(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32)
  view.setUint32(at, value - high * 2 ** 32, true)
  view.setUint32(at + 4, high, true)
}

function xattrCount(area: number): number {
  return area === 0 ? 0 : (area - xattrBody.bytes) / 4 + 1
}

function fileTypeOf(mode: number): number {
  const type = fileTypes[(mode & S_IFMT) >> 12]
  if (type === undefined)
    throw new OnefoldError('BAD_FORMAT', `Cannot write image: mode 0${mode.toString(8)} has no file type`)
  return type
}
