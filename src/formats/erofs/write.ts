/**
 * Writes a tree as the composefs image `mkcomposefs` makes of it, byte for byte. FORMAT.md has the picture and the rules.
 *
 * Four passes: list the inodes, settle their xattrs, place everything, write it. None of them changes the tree.
 */
import { OnefoldError } from '../../error.ts'
import { type Directory, type Inode, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { writeMetacopy, writeRedirect } from './external.ts'
import { chunkBitsOf, type Layout, layOut } from './layout.ts'
import { type Listing, listTree } from './listing.ts'
import {
  align,
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
  header,
  headerHasAcl,
  headerMagic,
  layoutShift,
  nullChunk,
  sharedRefsMax,
  slotSize,
  superblock,
  superblockAt,
  superblockMagic,
  xattrBody,
} from './records.ts'
import { type AttributeSet, XattrTable, metacopyMarker, redirectMarker } from './xattr-table.ts'

export interface ErofsOptions {
  /**
   * Which versions of the composefs format may be used; both default as in mkcomposefs. The lowest that can hold the tree
   * is taken: version 1 when it holds a 0:0 character device, version 0 otherwise.
   */
  readonly minVersion?: 0 | 1
  readonly maxVersion?: 0 | 1
}

/** A tree with everything decided but nothing written. */
export interface ErofsPlan {
  readonly version: 0 | 1
  readonly listing: Listing
  readonly xattrs: XattrTable
  readonly layout: Layout
}

/** Throws BAD_FORMAT for what is no tree, LIMIT for what EROFS or composefs cannot hold. */
export function planErofs(root: Directory, options: ErofsOptions = {}): ErofsPlan {
  const listing = listTree(root)
  const version = chooseVersion(listing, options)
  const xattrs = new XattrTable(listing, version)
  return { version, listing, xattrs, layout: layOut(listing, xattrs) }
}

/** The image of a tree; see planErofs for errors. */
export function writeErofs(root: Directory, options: ErofsOptions = {}): { bytes: Uint8Array; version: 0 | 1 } {
  const plan = planErofs(root, options)
  return { bytes: writePlanned(plan), version: plan.version }
}

function chooseVersion(listing: Listing, { minVersion = 0, maxVersion = 1 }: ErofsOptions): 0 | 1 {
  return minVersion === 0 && maxVersion === 1 && listing.whiteouts.size > 0 ? 1 : minVersion
}

function writePlanned(plan: ErofsPlan): Uint8Array {
  const image = new Image(plan)
  image.writeHeader()
  image.writeInodes()
  image.writeSharedXattrs()
  return image.bytes
}

class Image {
  readonly bytes: Uint8Array
  readonly #view: DataView
  readonly #listing: Listing
  readonly #xattrs: XattrTable
  readonly #layout: Layout
  readonly #version: number
  /** What every reference to the shared table is counted from: the block the table begins in. */
  readonly #sharedBase: number
  /** The next free data block. */
  #block: number

  constructor({ listing, xattrs, layout, version }: ErofsPlan) {
    this.#listing = listing
    this.#xattrs = xattrs
    this.#layout = layout
    this.#version = version
    this.bytes = allocate(layout.bytes)
    this.#view = new DataView(this.bytes.buffer)
    this.#sharedBase = layout.inodesEnd % blockSize
    this.#block = layout.dataStart / blockSize
  }

  writeHeader(): void {
    const { view, layout } = { view: this.#view, layout: this.#layout }
    view.setUint32(header.magic, headerMagic, true)
    view.setUint32(header.headerVersion, 1, true)
    view.setUint32(header.flags, this.#xattrs.hasAcl ? headerHasAcl : 0, true)
    view.setUint32(header.version, this.#version, true)
    view.setUint32(superblockAt + superblock.magic, superblockMagic, true)
    view.setUint32(superblockAt + superblock.featureCompat, compatMtime | compatXattrFilter, true)
    view.setUint8(superblockAt + superblock.blockBits, blockBits)
    view.setUint16(superblockAt + superblock.rootNid, this.#nid(0), true)
    this.#setUint64(superblockAt + superblock.inodes, this.#listing.inodes.length)
    this.#setUint64(superblockAt + superblock.buildTime, layout.mtime)
    view.setUint32(superblockAt + superblock.buildTimeNsec, layout.mtimeNsec, true)
    view.setUint32(superblockAt + superblock.blocks, layout.bytes / blockSize, true)
    view.setUint32(superblockAt + superblock.xattrBlock, Math.floor(layout.inodesEnd / blockSize), true)
  }

  writeInodes(): void {
    const { inodes } = this.#listing
    for (let number = 0; number < inodes.length; number++) {
      const inode = inodes[number] as Inode
      const start = this.#layout.starts[number] as number
      const area = this.#layout.areas[number] as number
      const isExtended = this.#layout.extended[number] === 1
      const union = this.#union(number, inode)
      if (isExtended) this.#writeExtended(start, number, inode, union)
      else this.#writeCompact(start, number, inode, union)
      const xattrsAt = start + (isExtended ? extended.bytes : compact.bytes)
      if (area > 0) this.#writeXattrs(xattrsAt, number, inode)
      this.#writeBody(xattrsAt + area, number, inode)
    }
  }

  writeSharedXattrs(): void {
    for (const { encoded, offset } of this.#xattrs.shared) this.bytes.set(encoded, this.#layout.inodesEnd + offset)
  }

  #nid(number: number): number {
    return (this.#layout.starts[number] as number) / slotSize
  }

  /** A chunk-based inode keeps the high half of the number of a block it may own; so does mkcomposefs. */
  #union(number: number, inode: Inode): number {
    const block = (this.#layout.blocks[number] as number) > 0 ? this.#block : 0
    if (this.#layout.kinds[number] === chunkBased)
      return ((block & 0xffff0000) | (chunkBitsOf(this.#layout.sizes[number] as number) - blockBits)) >>> 0
    switch (inode.mode & S_IFMT) {
      case S_IFDIR:
      case S_IFLNK:
      case S_IFREG:
        return block
      default:
        return this.#listing.whiteouts.has(number) ? 0 : inode.rdev
    }
  }

  #writeCompact(at: number, number: number, inode: Inode, union: number): void {
    const view = this.#view
    view.setUint16(at + compact.format, (this.#layout.kinds[number] as number) << layoutShift, true)
    view.setUint16(at + compact.xattrCount, xattrCount(this.#layout.areas[number] as number), true)
    view.setUint16(at + compact.mode, this.#listing.modes[number] as number, true)
    view.setUint16(at + compact.nlink, this.#listing.nlinks[number] as number, true)
    view.setUint32(at + compact.size, this.#layout.sizes[number] as number, true)
    view.setUint32(at + compact.union, union, true)
    view.setUint32(at + compact.ino, number, true)
    view.setUint16(at + compact.uid, inode.uid, true)
    view.setUint16(at + compact.gid, inode.gid, true)
  }

  #writeExtended(at: number, number: number, inode: Inode, union: number): void {
    const view = this.#view
    const format = ((this.#layout.kinds[number] as number) << layoutShift) | formatExtended
    view.setUint16(at + extended.format, format, true)
    view.setUint16(at + extended.xattrCount, xattrCount(this.#layout.areas[number] as number), true)
    view.setUint16(at + extended.mode, this.#listing.modes[number] as number, true)
    this.#setUint64(at + extended.size, this.#layout.sizes[number] as number)
    view.setUint32(at + extended.union, union, true)
    view.setUint32(at + extended.ino, number, true)
    view.setUint32(at + extended.uid, inode.uid, true)
    view.setUint32(at + extended.gid, inode.gid, true)
    this.#setUint64(at + extended.mtime, inode.mtime)
    view.setUint32(at + extended.mtimeNsec, inode.mtimeNsec, true)
    view.setUint32(at + extended.nlink, this.#listing.nlinks[number] as number, true)
  }

  /** References to the shared table first, then what is the inode's own; each in ascending order of name. */
  #writeXattrs(at: number, number: number, inode: Inode): void {
    const { attributes, filter } = this.#xattrs.sets[number] as AttributeSet
    const table = this.#xattrs
    let refs = 0
    for (const attribute of attributes) {
      const shared = refs < sharedRefsMax ? table.sharedOf(number, attribute) : undefined
      if (shared === undefined) continue
      this.#view.setUint32(at + xattrBody.bytes + 4 * refs, (this.#sharedBase + shared.offset) / 4, true)
      refs++
    }
    this.#view.setUint32(at + xattrBody.nameFilter, filter, true)
    this.#view.setUint8(at + xattrBody.sharedCount, refs)
    this.#writeLocalXattrs(at + xattrBody.bytes + 4 * refs, number, inode, refs)
  }

  /** All but the first `refs` that are shared. */
  #writeLocalXattrs(at: number, number: number, inode: Inode, refs: number): void {
    let skipped = 0
    let local = at
    for (const attribute of (this.#xattrs.sets[number] as AttributeSet).attributes) {
      if (skipped < refs && this.#xattrs.sharedOf(number, attribute) !== undefined) skipped++
      else if (attribute === metacopyMarker) local = writeMetacopy(this.bytes, local, inode.content)
      else if (attribute === redirectMarker) local = writeRedirect(this.bytes, local, inode.content)
      else {
        this.bytes.set(attribute.encoded, local)
        local += attribute.encoded.length
      }
    }
  }

  #writeBody(tailAt: number, number: number, inode: Inode): void {
    const tail = this.#layout.tails[number] as number
    const blocks = this.#layout.blocks[number] as number
    if (tail === 0 && blocks === 0) return
    const blockAt = this.#block * blockSize
    this.#block += blocks
    if (this.#layout.kinds[number] === chunkBased) {
      const at = tail > 0 ? tailAt : blockAt
      for (let i = 0; i < (tail > 0 ? tail : blockSize); i += 4) this.#view.setUint32(at + i, nullChunk, true)
    } else if (inode.children !== undefined) this.#writeDirectory(number, blockAt, tailAt)
    else if ((inode.mode & S_IFMT) === S_IFLNK) this.#writeChars(inode.target, tail > 0 ? tailAt : blockAt)
    else if (inode.content.kind === 'inline') {
      const { bytes } = inode.content
      this.bytes.set(bytes.subarray(0, bytes.length - tail), blockAt)
      this.bytes.set(bytes.subarray(bytes.length - tail), tailAt)
    }
  }

  #writeDirectory(number: number, blockAt: number, tailAt: number): void {
    const { names } = this.#listing
    const last = this.#listing.lastEntry[number] as number
    const end = blockAt + (this.#layout.blocks[number] as number) * blockSize
    let from = this.#listing.firstEntry[number] as number
    for (let at = blockAt; from < last; at += blockSize) {
      let to = from
      let used = 0
      for (; to < last; to++) {
        used += dirent.bytes + (names[to] as string).length
        if (used > blockSize) break
      }
      this.#writeEntries(at < end ? at : tailAt, from, to)
      from = to
    }
  }

  #writeEntries(at: number, from: number, to: number): void {
    const { names, targets, modes } = this.#listing
    let nameOffset = (to - from) * dirent.bytes
    for (let entry = from; entry < to; entry++) {
      const target = targets[entry] as number
      const here = at + (entry - from) * dirent.bytes
      this.#setUint64(here + dirent.nid, this.#nid(target))
      this.#view.setUint16(here + dirent.nameOffset, nameOffset, true)
      this.#view.setUint8(here + dirent.fileType, fileTypeOf(modes[target] as number))
      nameOffset += this.#writeChars(names[entry] as string, at + nameOffset)
    }
  }

  #writeChars(text: string, at: number): number {
    for (let i = 0; i < text.length; i++) {
      const char = text.charCodeAt(i)
      if (char > 0xff || char === 0) throw badChar(text)
      this.bytes[at + i] = char
    }
    return text.length
  }

  /** Two's complement, so that it serves times before 1970 too. */
  #setUint64(at: number, value: number): void {
    const high = Math.floor(value / 2 ** 32)
    this.#view.setUint32(at, value - high * 2 ** 32, true)
    this.#view.setUint32(at + 4, high, true)
  }
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

function allocate(size: number): Uint8Array {
  try {
    return new Uint8Array(align(size, blockSize))
  } catch (cause) {
    throw new OnefoldError('LIMIT', `Cannot write image: it would take ${size} bytes of memory`, { cause })
  }
}

function badChar(text: string): OnefoldError {
  return new OnefoldError(
    'BAD_FORMAT',
    `Cannot write name ${JSON.stringify(text.slice(0, 300))}: expected chars that stand for bytes, none of them zero`,
  )
}
