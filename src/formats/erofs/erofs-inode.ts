import { S_IFMT } from '../tree.ts'
import { bad, unsupported } from './erofs-error.ts'
import {
  compact,
  extended,
  fileTypes,
  formatExtended,
  formatKnown,
  inodeHead,
  layoutMask,
  layoutShift,
  slotSize,
  xattrBody,
} from './erofs-records.ts'
import type { ErofsVolume } from './erofs-volume.ts'
import type { ImageBytes } from './image-bytes.ts'

/** An inode's record, checked to lie in the image; its data has not been looked at. */
export interface RawInode {
  readonly nid: number
  /** i_ino: in composefs images the position in breadth-first order. */
  readonly ino: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly size: number
  readonly mtime: number
  readonly mtimeNsec: number
  /** How the data is laid out; one of `data-layouts.ts`, or one that cannot be read. */
  readonly layout: number
  /** i_u: the first block, the chunk format, or the device number. */
  readonly union: number
  readonly xattrsAt: number
  readonly xattrBytes: number
  /** Offset of the tail, or of the table of chunks. */
  readonly tailAt: number
}

/** Reads the record of an inode: a compact one, which has what most inodes need, or an extended one. */
export function readInode({ bytes, inodesAt, buildTime, buildTimeNsec }: ErofsVolume, nid: number): RawInode {
  const at = inodesAt + nid * slotSize
  bytes.need(at, compact.bytes, 'inode', nid)
  const format = bytes.u16(at + inodeHead.format)
  if ((format & ~formatKnown) !== 0) throw unsupported(`inode ${nid} has format 0x${format.toString(16)}`)
  const isExtended = (format & formatExtended) !== 0
  if (isExtended) bytes.need(at, extended.bytes, 'inode', nid)
  const xattrsAt = at + (isExtended ? extended.bytes : compact.bytes)
  const xattrBytes = readXattrBytes(bytes, at + inodeHead.xattrCount)
  bytes.need(xattrsAt, xattrBytes, 'the xattrs of inode', nid)
  return {
    nid,
    ino: bytes.u32(at + inodeHead.ino),
    mode: readMode(bytes, at + inodeHead.mode, nid),
    uid: isExtended ? bytes.u32(at + extended.uid) : bytes.u16(at + compact.uid),
    gid: isExtended ? bytes.u32(at + extended.gid) : bytes.u16(at + compact.gid),
    nlink: isExtended ? bytes.u32(at + extended.nlink) : bytes.u16(at + compact.nlink),
    size: isExtended ? bytes.u64(at + extended.size, 'the size of inode', nid) : bytes.u32(at + compact.size),
    mtime: isExtended ? bytes.seconds(at + extended.mtime) : buildTime + bytes.u32(at + compact.mtimeDelta),
    mtimeNsec: isExtended ? bytes.u32(at + extended.mtimeNsec) : buildTimeNsec,
    layout: (format >> layoutShift) & layoutMask,
    union: bytes.u32(at + inodeHead.union),
    xattrsAt,
    xattrBytes,
    tailAt: xattrsAt + xattrBytes,
  }
}

function readMode(bytes: ImageBytes, at: number, nid: number): number {
  const mode = bytes.u16(at)
  if (fileTypes[(mode & S_IFMT) >> 12] === undefined)
    throw bad(`inode ${nid} has mode 0${mode.toString(8)}, which is no file type`)
  return mode
}

/** i_xattr_icount: 0 for none, else 1 and the number of words behind the header. */
function readXattrBytes(bytes: ImageBytes, at: number): number {
  const count = bytes.u16(at)
  return count === 0 ? 0 : xattrBody.bytes + 4 * (count - 1)
}
