/** The third pass of the writer: how large everything is and where it goes. */
import { OnefoldError } from '../../error.ts'
import { type FlatTree, field, floatField, inodeFloats, inodeWords } from '../flat/flat-tree.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { inlineContentMax } from './composefs-header.ts'
import { isExternal } from './flat-external.ts'
import type { Listing } from './tree-listing.ts'
import {
  align,
  blockSize,
  chunkBased,
  compact,
  dirent,
  extended,
  flatInline,
  flatPlain,
  maxChunkBits,
  minChunkBits,
  slotSize,
  superblock,
  superblockAt,
  targetMax,
  xattrBody,
} from '../erofs/erofs-records.ts'
import type { XattrTable } from './xattr-table.ts'

export interface Layout {
  /** Per inode: the offset of its record. */
  readonly starts: Float64Array
  /** 1 for the 64-byte form. */
  readonly extended: Uint8Array
  /** Bytes of the xattr area. */
  readonly areas: Uint32Array
  /** Bytes of data that follow the inode, and blocks of data elsewhere. */
  readonly tails: Uint16Array
  readonly blocks: Uint32Array
  /** flatPlain, flatInline or chunkBased. */
  readonly kinds: Uint8Array
  /** i_size. */
  readonly sizes: Float64Array
  readonly inodesEnd: number
  readonly dataStart: number
  /** Bytes of the whole image, a multiple of the block size. */
  readonly bytes: number
  /** The earliest mtime: the one that compact inodes have. */
  readonly mtime: number
  readonly mtimeNsec: number
}

export function layOut(listing: Listing, xattrs: XattrTable): Layout {
  const { tree, ids } = listing
  const count = ids.length
  const layout = {
    starts: new Float64Array(count),
    extended: new Uint8Array(count),
    areas: new Uint32Array(count),
    tails: new Uint16Array(count),
    blocks: new Uint32Array(count),
    kinds: new Uint8Array(count),
    sizes: new Float64Array(count),
    ...earliest(tree, ids),
  }
  let at = superblockAt + superblock.bytes
  let blocks = 0
  for (let number = 0; number < count; number++) {
    const inode = ids[number] as number
    const type = tree.mode(inode) & S_IFMT
    sizeBody(layout, listing, number, inode)
    layout.extended[number] = fitsCompact(layout, listing, number, inode) ? 0 : 1
    layout.areas[number] = areaBytes(xattrs, number)
    at = place(layout, number, at, type === S_IFLNK)
    blocks += layout.blocks[number] as number
    if (type === S_IFDIR)
      layout.sizes[number] = (layout.blocks[number] as number) * blockSize + (layout.tails[number] as number)
  }
  const inodesEnd = align(at, slotSize)
  const dataStart = align(inodesEnd + xattrs.bytes, blockSize)
  return { ...layout, inodesEnd, dataStart, bytes: dataStart + blocks * blockSize }
}

type Growing = Omit<Layout, 'inodesEnd' | 'dataStart' | 'bytes'>

function earliest({ words, floats }: FlatTree, ids: Uint32Array): { mtime: number; mtimeNsec: number } {
  let mtime = floats[floatField.mtime] as number
  let mtimeNsec = words[field.mtimeNsec] as number
  for (const inode of ids) {
    const seconds = floats[inode * inodeFloats + floatField.mtime] as number
    const nanoseconds = words[inode * inodeWords + field.mtimeNsec] as number
    if (seconds > mtime || (seconds === mtime && nanoseconds >= mtimeNsec)) continue
    mtime = seconds
    mtimeNsec = nanoseconds
  }
  return { mtime, mtimeNsec }
}

function sizeBody(layout: Growing, listing: Listing, number: number, inode: number): void {
  const { tree } = listing
  switch (tree.mode(inode) & S_IFMT) {
    case S_IFDIR:
      return sizeDirectory(layout, number, listing)
    case S_IFLNK:
      return sizeTail(layout, number, targetLength(tree, inode))
    case S_IFREG:
      return isExternal(tree, inode)
        ? sizeChunks(layout, number, tree.size(inode))
        : sizeInline(layout, number, tree.size(inode))
    default:
      return sizeTail(layout, number, 0)
  }
}

/** Sizes a directory. Entries never straddle a block; the last group goes behind the inode unless it fills more than half a block. */
function sizeDirectory(layout: Growing, number: number, { nameLength, firstEntry, lastEntry }: Listing): void {
  const last = lastEntry[number] as number
  let blocks = 0
  let used = 0
  for (let entry = firstEntry[number] as number; entry < last; entry++) {
    const bytes = dirent.bytes + (nameLength[entry] as number)
    if (used + bytes > blockSize) {
      blocks++
      used = 0
    }
    used += bytes
  }
  sizeBlocksAndTail(layout, number, blocks, used)
}

function sizeInline(layout: Growing, number: number, size: number): void {
  if (size > inlineContentMax)
    throw new OnefoldError(
      'LIMIT',
      `Cannot write image: a file has ${size} bytes inline, at most ${inlineContentMax} are possible`,
    )
  sizeBlocksAndTail(layout, number, Math.floor(size / blockSize), size % blockSize)
  layout.sizes[number] = size
}

function sizeBlocksAndTail(layout: Growing, number: number, blocks: number, tail: number): void {
  if (tail > blockSize / 2) sizeBlocksAndTail(layout, number, blocks + 1, 0)
  else {
    layout.blocks[number] = blocks
    sizeTail(layout, number, tail)
  }
}

function sizeTail(layout: Growing, number: number, tail: number): void {
  layout.tails[number] = tail
  layout.kinds[number] = tail > 0 ? flatInline : flatPlain
  layout.sizes[number] = tail
}

function sizeChunks(layout: Growing, number: number, size: number): void {
  const chunks = Math.ceil(size / 2 ** chunkBitsOf(size))
  if (chunks * 4 > blockSize || size > 2 ** 53)
    throw new OnefoldError('LIMIT', `Cannot write image: a file of ${size} bytes, the most is ${2 ** 53}`)
  layout.tails[number] = 4 * chunks
  layout.kinds[number] = chunkBased
  layout.sizes[number] = size
}

/** The size of chunks, as bits, of a file of `size` bytes outside the image: one chunk if it can be. */
export function chunkBitsOf(size: number): number {
  const last = size - 1
  const bits = last < 2 ** 32 ? 32 - Math.clz32(last) : 64 - Math.clz32(Math.floor(last / 2 ** 32))
  return Math.min(Math.max(bits, minChunkBits), maxChunkBits)
}

function fitsCompact(layout: Growing, { tree, nlinks, whiteouts }: Listing, number: number, inode: number): boolean {
  const { words, floats } = tree
  const at = inode * inodeWords
  return (
    floats[inode * inodeFloats + floatField.mtime] === layout.mtime &&
    words[at + field.mtimeNsec] === layout.mtimeNsec &&
    (nlinks[number] as number) <= 0xffff &&
    (words[at + field.uid] as number) <= 0xffff &&
    (words[at + field.gid] as number) <= 0xffff &&
    (layout.sizes[number] as number) <= 0xffffffff &&
    // mkcomposefs looks at the stored size of *every* inode here, and a dump may give a device one.
    (tree.size(inode) <= 0xffffffff || whiteouts.has(number))
  )
}

function areaBytes(xattrs: XattrTable, number: number): number {
  const bytes = xattrs.areaBytes(number)
  if (bytes > xattrBody.bytes + 4 * 0xfffe)
    throw new OnefoldError(
      'LIMIT',
      `Cannot write image: a file has ${bytes} bytes of xattrs, more than EROFS can count`,
    )
  return bytes
}

/** Places the inode at or after `at` and returns where it ends. Its tail may not straddle a block. */
function place(layout: Growing, number: number, at: number, symlink: boolean): number {
  const meta = (layout.extended[number] === 1 ? extended.bytes : compact.bytes) + (layout.areas[number] as number)
  const tail = layout.tails[number] as number
  let start = align(at, slotSize)
  if (symlink) {
    const total = meta + tail
    if (total >= blockSize) moveTailToBlock(layout, number)
    if (Math.floor(start / blockSize) !== Math.floor((start + total - 1) / blockSize)) start = align(start, blockSize)
  } else {
    const room = roomAfter(start + meta)
    if (room < tail) {
      const pad = align(room, slotSize)
      if (tail <= roomAfter(start + meta + pad)) start += pad
      else {
        moveTailToBlock(layout, number)
        start = align(start, blockSize)
      }
    }
  }
  layout.starts[number] = start
  return start + meta + (layout.tails[number] as number)
}

function roomAfter(offset: number): number {
  return blockSize - (offset % blockSize)
}

function moveTailToBlock(layout: Growing, number: number): void {
  layout.blocks[number] = (layout.blocks[number] as number) + 1
  layout.tails[number] = 0
  if (layout.kinds[number] === flatInline) layout.kinds[number] = flatPlain
}

function targetLength(tree: FlatTree, inode: number): number {
  const length = tree.words[inode * inodeWords + field.textLength] as number
  if (length === 0 || length > targetMax)
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot write symlink to ${JSON.stringify(tree.text(inode).slice(0, 200))}: expected 1 to ${targetMax} bytes, none of them zero`,
    )
  return length
}
