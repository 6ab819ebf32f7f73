/** The third pass of the writer: how large everything is and where it goes. */
import { OnefoldError } from '../../error.ts'
import { type Inode, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { type Content, sizeOf } from '../entry.ts'
import { externalContent } from './external.ts'
import type { Listing } from './listing.ts'
import {
  align,
  blockSize,
  chunkBased,
  compact,
  dirent,
  extended,
  flatInline,
  flatPlain,
  inlineContentMax,
  maxChunkBits,
  minChunkBits,
  slotSize,
  superblock,
  superblockAt,
  targetMax,
  xattrBody,
} from './records.ts'
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
  /** Of the whole image, a multiple of the block size. */
  readonly bytes: number
  /** The earliest mtime: the one that compact inodes have. */
  readonly mtime: number
  readonly mtimeNsec: number
}

export function layOut(listing: Listing, xattrs: XattrTable): Layout {
  const count = listing.inodes.length
  const layout = {
    starts: new Float64Array(count),
    extended: new Uint8Array(count),
    areas: new Uint32Array(count),
    tails: new Uint16Array(count),
    blocks: new Uint32Array(count),
    kinds: new Uint8Array(count),
    sizes: new Float64Array(count),
    ...earliest(listing.inodes),
  }
  let at = superblockAt + superblock.bytes
  let blocks = 0
  for (let number = 0; number < count; number++) {
    const inode = listing.inodes[number] as Inode
    sizeBody(layout, listing, number, inode)
    layout.extended[number] = fitsCompact(layout, listing, number, inode) ? 0 : 1
    layout.areas[number] = areaBytes(xattrs, number)
    at = place(layout, number, at, (inode.mode & S_IFMT) === S_IFLNK)
    blocks += layout.blocks[number] as number
    if (inode.children !== undefined)
      layout.sizes[number] = (layout.blocks[number] as number) * blockSize + (layout.tails[number] as number)
  }
  const inodesEnd = align(at, slotSize)
  const dataStart = align(inodesEnd + xattrs.bytes, blockSize)
  return { ...layout, inodesEnd, dataStart, bytes: dataStart + blocks * blockSize }
}

type Growing = Omit<Layout, 'inodesEnd' | 'dataStart' | 'bytes'>

function earliest(inodes: readonly Inode[]): { mtime: number; mtimeNsec: number } {
  let { mtime, mtimeNsec } = inodes[0] as Inode
  for (const inode of inodes)
    if (inode.mtime < mtime || (inode.mtime === mtime && inode.mtimeNsec < mtimeNsec)) ({ mtime, mtimeNsec } = inode)
  return { mtime, mtimeNsec }
}

function sizeBody(layout: Growing, listing: Listing, number: number, inode: Inode): void {
  switch (inode.mode & S_IFMT) {
    case S_IFDIR: {
      const first = listing.firstEntry[number] as number
      const last = listing.lastEntry[number] as number
      return sizeDirectory(layout, number, listing.names, first, last)
    }
    case S_IFLNK:
      return sizeTail(layout, number, checkedTarget(inode.target).length)
    case S_IFREG:
      return externalContent(inode) === undefined
        ? sizeInline(layout, number, inode.content)
        : sizeChunks(layout, number, sizeOf(inode.content))
    default:
      return sizeTail(layout, number, 0)
  }
}

/** Entries never straddle a block. The last group goes behind the inode unless it fills more than half a block. */
function sizeDirectory(layout: Growing, number: number, names: readonly string[], first: number, last: number): void {
  let blocks = 0
  let used = 0
  for (let entry = first; entry < last; entry++) {
    const bytes = dirent.bytes + (names[entry] as string).length
    if (used + bytes > blockSize) {
      blocks++
      used = 0
    }
    used += bytes
  }
  sizeBlocksAndTail(layout, number, blocks, used)
}

function sizeInline(layout: Growing, number: number, content: Content): void {
  const size = sizeOf(content)
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

/** Of a file of `size` bytes outside the image: one chunk if it can be. */
export function chunkBitsOf(size: number): number {
  const last = size - 1
  const bits = last < 2 ** 32 ? 32 - Math.clz32(last) : 64 - Math.clz32(Math.floor(last / 2 ** 32))
  return Math.min(Math.max(bits, minChunkBits), maxChunkBits)
}

function fitsCompact(layout: Growing, listing: Listing, number: number, inode: Inode): boolean {
  return (
    inode.mtime === layout.mtime &&
    inode.mtimeNsec === layout.mtimeNsec &&
    (listing.nlinks[number] as number) <= 0xffff &&
    inode.uid <= 0xffff &&
    inode.gid <= 0xffff &&
    (layout.sizes[number] as number) <= 0xffffffff &&
    !hasGreatSizeField(listing, number, inode)
  )
}

/** mkcomposefs looks at the stored size of *every* inode here, and a dump may give a device one. */
function hasGreatSizeField(listing: Listing, number: number, inode: Inode): boolean {
  return inode.content.kind === 'unknown' && inode.content.size > 0xffffffff && !listing.whiteouts.has(number)
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

function checkedTarget(target: string): string {
  if (target === '' || target.length > targetMax || target.includes('\0'))
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot write symlink to ${JSON.stringify(target.slice(0, 200))}: expected 1 to ${targetMax} bytes, none of them zero`,
    )
  return target
}
