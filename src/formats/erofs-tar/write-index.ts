/** Writes an index: an EROFS image of blocks of 512 bytes, whose files lie in a tar that is its one other device. */
import { crc32c } from '../crc32c.ts'
import {
  align,
  chunkBased,
  chunkIndex,
  chunkIndexes,
  compact,
  compatMtime,
  compatChecksum,
  compatXattrFilter,
  deviceSlot,
  extended,
  fileTypes,
  flatInline,
  formatExtended,
  incompatDeviceTable,
  inodeHead,
  layoutShift,
  superblock,
  superblockAt,
  superblockMagic,
  xattrBody,
} from '../erofs/erofs-records.ts'
import { chunkBitsOf, chunkCountOf } from './chunk-format.ts'
import { writeDirectoryBlock } from './directory-blocks.ts'
import { type IndexDirectory, type IndexInode, type IndexStamp, isDirectory } from './index-inode.ts'
import { type IndexLayout, type PlacedInode, layOut, nidOf, positionOf, startOf, tailOf } from './index-layout.ts'
import { blockBits, blockSize } from './record-blocks.ts'

/** The number of the tar among the devices; 0 is the image itself. */
export const tarDevice = 1

/** Number that stands for the first block where there is none. */
const noBlock = 0xffffffff
const xattrWordBytes = 4

export interface WrittenIndex {
  readonly bytes: Uint8Array
  /** The numbers of directories that no entry of the tar is for, ascending. */
  readonly implied: readonly number[]
}

/**
 * Writes the index of a tree.
 * @param tarBlocks blocks of the tar up to the end of its end marker
 */
export function writeIndex(root: IndexDirectory, tarBlocks: number, stamp: IndexStamp): WrittenIndex {
  const layout = layOut(root, stamp.buildTime)
  const bytes = Buffer.alloc(layout.blocks * blockSize)
  writeSuperblock(bytes, layout, stamp)
  writeDevice(bytes, layout, tarBlocks)
  for (const placed of layout.inodes) writeInode(bytes, placed, layout)
  writeChecksum(bytes)
  return { bytes, implied: impliedOf(layout) }
}

function impliedOf({ inodes }: IndexLayout): number[] {
  return inodes
    .filter(({ inode }) => inode.isImplied)
    .map(nidOf)
    .sort((a, b) => a - b)
}

function writeSuperblock(
  bytes: Buffer,
  { root, inodes, blocks, deviceTableAt }: IndexLayout,
  { uuid, buildTime }: IndexStamp,
): void {
  const hasXattrs = inodes.some(({ xattrs }) => xattrs.length > 0)
  const sb = bytes.subarray(superblockAt)
  sb.writeUInt32LE(superblockMagic, superblock.magic)
  sb.writeUInt32LE(compatChecksum | compatMtime | (hasXattrs ? compatXattrFilter : 0), superblock.featureCompat)
  sb[superblock.blockBits] = blockBits
  sb.writeUInt16LE(nidOf(root), superblock.rootNid)
  sb.writeUInt32LE(inodes.length, superblock.inodes)
  sb.writeBigInt64LE(BigInt(buildTime), superblock.buildTime)
  sb.writeUInt32LE(blocks, superblock.blocks)
  sb.set(uuid, superblock.uuid)
  sb.writeUInt32LE(incompatDeviceTable, superblock.featureIncompat)
  sb.writeUInt16LE(1, superblock.extraDevices)
  sb.writeUInt16LE(deviceTableAt / deviceSlot.bytes, superblock.deviceSlot)
}

/** Writes the slot of the tar, which may follow the index in one file: its first block is the one behind the index. */
function writeDevice(bytes: Buffer, { deviceTableAt, blocks }: IndexLayout, tarBlocks: number): void {
  bytes.writeUInt32LE(tarBlocks, deviceTableAt + deviceSlot.blocks)
  bytes.writeUInt32LE(blocks, deviceTableAt + deviceSlot.mappedBlock)
}

/** Writes the checksum of the block that the superblock begins, in which it stands as 0. */
function writeChecksum(bytes: Buffer): void {
  // EROFS leaves out the inversion at the end.
  const sum = ~crc32c(bytes.subarray(superblockAt, superblockAt + blockSize)) >>> 0
  bytes.writeUInt32LE(sum, superblockAt + superblock.checksum)
}

function writeInode(bytes: Buffer, placed: PlacedInode, layout: IndexLayout): void {
  const { inode, isExtended, xattrs } = placed
  const at = positionOf(placed.place)
  const record = bytes.subarray(at)
  record.writeUInt16LE((isExtended ? formatExtended : 0) | (placed.layout << layoutShift), inodeHead.format)
  record.writeUInt16LE(xattrCount(xattrs.length), inodeHead.xattrCount)
  record.writeUInt16LE(inode.mode, inodeHead.mode)
  record.writeUInt32LE(unionOf(placed), inodeHead.union)
  record.writeUInt32LE(placed.serial, inodeHead.ino)
  if (isExtended) writeExtended(record, placed)
  else writeCompact(record, placed)
  const xattrsAt = at + (isExtended ? extended.bytes : compact.bytes)
  bytes.set(xattrs, xattrsAt)
  writeData(bytes, placed, xattrsAt + xattrs.length, layout)
}

function writeCompact(record: Buffer, placed: PlacedInode): void {
  const { uid, gid } = placed.inode
  const links = linksOf(placed)
  // A directory of too many directories says 1, "not counted", and stays compact.
  record.writeUInt16LE(links > 0xffff ? 1 : links, compact.nlink)
  record.writeUInt32LE(sizeOf(placed), compact.size)
  record.writeUInt16LE(uid, compact.uid)
  record.writeUInt16LE(gid, compact.gid)
}

function writeExtended(record: Buffer, placed: PlacedInode): void {
  const { uid, gid, mtime, mtimeNsec } = placed.inode
  record.writeBigUInt64LE(BigInt(sizeOf(placed)), extended.size)
  record.writeUInt32LE(uid, extended.uid)
  record.writeUInt32LE(gid, extended.gid)
  record.writeBigInt64LE(BigInt(mtime), extended.mtime)
  record.writeUInt32LE(mtimeNsec, extended.mtimeNsec)
  record.writeUInt32LE(linksOf(placed), extended.nlink)
}

/** Counts attributes as inodes do: 0 for none, else 1 and the words behind the header. */
function xattrCount(bytes: number): number {
  return bytes === 0 ? 0 : (bytes - xattrBody.bytes) / xattrWordBytes + 1
}

function unionOf({ inode, layout, data }: PlacedInode): number {
  if (layout === chunkBased) return chunkIndexes | (chunkBitsOf(inode.size) - blockBits)
  if (data !== undefined) return startOf(data)
  return isDirectory(inode) || inode.target !== '' ? noBlock : inode.rdev
}

function sizeOf({ inode, names }: PlacedInode): number {
  return names?.size ?? (inode.target === '' ? inode.size : inode.target.length)
}

function linksOf({ inode }: PlacedInode): number {
  return isDirectory(inode) ? 2 + inode.children.values().filter(isDirectory).toArray().length : inode.names
}

/**
 * Writes what an inode holds.
 * @param behind the end of the inode, its attributes included
 */
function writeData(bytes: Buffer, placed: PlacedInode, behind: number, layout: IndexLayout): void {
  const { inode, names } = placed
  if (placed.layout === chunkBased) writeChunks(bytes, align(behind, chunkIndex.bytes), inode)
  else if (names !== undefined)
    names.blocks.forEach((block, i) => {
      const at = dataAt(placed, i * blockSize, names.size, behind)
      writeDirectoryBlock(bytes, at, block, (name) => nodeOf(layout.placeOf(childOf(placed, name))))
    })
  else
    for (let from = 0; from < inode.target.length; from += blockSize) {
      const at = dataAt(placed, from, inode.target.length, behind)
      bytes.write(inode.target.slice(from, from + blockSize), at, 'latin1')
    }
}

/** Finds the block of data that begins with byte `from`: the last one may be the tail. */
function dataAt({ layout, data }: PlacedInode, from: number, size: number, behind: number): number {
  if (layout === flatInline && from + tailOf(size) === size) return behind
  return data === undefined ? behind : startOf(data) * blockSize + from
}

function childOf({ inode, parent }: PlacedInode, name: string): IndexInode {
  const child = name === '.' ? inode : name === '..' ? parent : inode.children?.get(name)
  if (child === undefined) throw new Error('a directory has a name that leads nowhere')
  return child
}

function nodeOf(placed: PlacedInode): { nid: number; fileType: number } {
  return { nid: nidOf(placed), fileType: fileTypes[placed.inode.mode >> 12] ?? 0 }
}

function writeChunks(bytes: Buffer, tableAt: number, { size, contentAt }: IndexInode): void {
  const chunkBlocks = 2 ** (chunkBitsOf(size) - blockBits)
  for (let i = 0; i < chunkCountOf(size); i++) {
    const at = tableAt + i * chunkIndex.bytes
    bytes.writeUInt16LE(tarDevice, at + chunkIndex.device)
    bytes.writeUInt32LE(contentAt / blockSize + i * chunkBlocks, at + chunkIndex.block)
  }
}
