import { type Device, readDevices } from './device-table.ts'
import { bad, unsupported } from './erofs-error.ts'
import {
  compatXattrFilter,
  incompatChunkedFile,
  incompatDeviceTable,
  incompatLz4Padding,
  incompatNames,
  superblock,
  superblockAt,
  superblockMagic,
} from './erofs-records.ts'
import { ImageBytes } from './image-bytes.ts'

/** A stretch of the image. */
export type Span = readonly [from: number, to: number]

export interface VolumeOptions {
  /** Whether files may lie on other devices; where they may not, an image that has any is refused. */
  readonly otherDevices?: boolean
}

/** An image with what its superblock says: what all parts of the reader work on. */
export class ErofsVolume {
  readonly bytes: ImageBytes
  readonly blockBits: number
  readonly blockSize: number
  readonly rootNid: number
  /** Offset of the inode with nid 0, if there were one. */
  readonly inodesAt: number
  /** Offset of the block in which the table of shared attributes begins. */
  readonly sharedXattrsAt: number
  /** Whether the attributes of an inode begin with a filter of their names. */
  readonly hasXattrFilter: boolean
  /** The time that compact inodes count from. */
  readonly buildTime: number
  readonly buildTimeNsec: number
  readonly devices: readonly Device[]

  /** Throws BAD_FORMAT for what is no EROFS image, UNSUPPORTED for one with features that need more than this reader. */
  constructor(image: Uint8Array, { otherDevices = false }: VolumeOptions = {}) {
    const bytes = new ImageBytes(image)
    const at = superblockAt
    checkSuperblock(bytes, otherDevices)
    this.bytes = bytes
    this.blockBits = readBlockBits(bytes)
    this.blockSize = 1 << this.blockBits
    this.rootNid = bytes.u16(at + superblock.rootNid)
    this.inodesAt = bytes.u32(at + superblock.metaBlock) * this.blockSize
    this.sharedXattrsAt = bytes.u32(at + superblock.xattrBlock) * this.blockSize
    this.hasXattrFilter = (bytes.u32(at + superblock.featureCompat) & compatXattrFilter) !== 0
    this.buildTime = bytes.seconds(at + superblock.buildTime)
    this.buildTimeNsec = bytes.u32(at + superblock.buildTimeNsec)
    this.devices = readDevices(bytes)
  }

  /**
   * The stretch of so many bytes from a block on, checked to lie in the image. A device other than 0 is another file.
   * @param what says with `nid` whose bytes they are, for errors
   */
  blocks(block: number, length: number, device: number, what: string, nid: number): Span {
    if (device !== 0) throw unsupported(`${what} ${nid} lies on another device`)
    const at = block * this.blockSize
    this.bytes.need(at, length, what, nid)
    return [at, at + length]
  }
}

/** The size of an image that begins with `head`, its other devices left out: what its superblock says. */
export function imageSizeOf(head: Uint8Array): number {
  const bytes = new ImageBytes(head)
  checkMagic(bytes)
  return bytes.u32(superblockAt + superblock.blocks) * 2 ** readBlockBits(bytes)
}

function checkSuperblock(bytes: ImageBytes, otherDevices: boolean): void {
  checkMagic(bytes)
  checkFeatures(bytes, otherDevices)
}

function checkMagic(bytes: ImageBytes): void {
  if (bytes.length < superblockAt + superblock.bytes)
    throw bad(`${bytes.length} bytes; its superblock alone ends at ${superblockAt + superblock.bytes}`)
  const magic = bytes.u32(superblockAt + superblock.magic)
  if (magic !== superblockMagic) throw bad(`magic 0x${magic.toString(16)}; expected 0x${superblockMagic.toString(16)}`)
}

function checkFeatures(bytes: ImageBytes, otherDevices: boolean): void {
  const known = incompatLz4Padding | incompatChunkedFile | (otherDevices ? incompatDeviceTable : 0)
  const features = bytes.u32(superblockAt + superblock.featureIncompat) & ~known
  if (features !== 0) {
    const bit = 31 - Math.clz32(features & -features)
    throw unsupported(`it needs the feature ${incompatNames[bit] ?? `bit ${bit}`}`)
  }
  if (bytes.u8(superblockAt + superblock.directoryBlockBits) !== 0)
    throw unsupported('its directories have blocks of another size')
  if (!otherDevices && bytes.u16(superblockAt + superblock.extraDevices) !== 0)
    throw unsupported('its data lies on other devices')
}

function readBlockBits(bytes: ImageBytes): number {
  const bits = bytes.u8(superblockAt + superblock.blockBits)
  if (bits < 9 || bits > 16) throw unsupported(`blocks of 2^${bits} bytes`)
  return bits
}
