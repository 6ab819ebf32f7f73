/**
 * The on-disk records of EROFS: offsets in disk order, all integers little-endian. Readers and writers contain no offset of
 * their own. Source: the kernel's fs/erofs/erofs_fs.h.
 */

export const blockBits = 12
export const blockSize = 1 << blockBits
/** An inode's number (nid) is its position in units of slots. */
export const slotSize = 32

export const superblockAt = 1024

/** struct erofs_super_block, at 1024. */
export const superblock = {
  magic: 0,
  checksum: 4,
  featureCompat: 8,
  blockBits: 12,
  extraSlots: 13,
  rootNid: 14,
  inodes: 16,
  buildTime: 24,
  buildTimeNsec: 32,
  blocks: 36,
  metaBlock: 40,
  xattrBlock: 44,
  uuid: 48,
  volumeName: 64,
  featureIncompat: 80,
  compressionAlgorithms: 84,
  extraDevices: 86,
  deviceSlot: 88,
  directoryBlockBits: 90,
  xattrPrefixCount: 91,
  xattrPrefixStart: 92,
  packedNid: 96,
  xattrFilterReserved: 104,
  bytes: 128,
} as const

export const superblockMagic = 0xe0f5e1e2
/** feature_compat bit: the superblock has its checksum, CRC-32C without the last inversion of the rest of its block. */
export const compatChecksum = 0x1
/** feature_compat bits: inodes carry mtimes (not ctimes); xattr areas begin with a name filter. */
export const compatMtime = 0x2
export const compatXattrFilter = 0x4

/** feature_incompat bits by their position, for naming what a reader refuses. */
export const incompatNames = [
  'lz4 0padding',
  'compression configs or big clusters',
  'chunked files',
  'device table',
  'tail packing',
  'fragments or dedupe',
  'long xattr prefixes',
  '48-bit blocks',
  'metadata box',
] as const
export const incompatLz4Padding = 0x1
export const incompatChunkedFile = 0x4
export const incompatDeviceTable = 0x8

/** struct erofs_deviceslot; the table of devices begins at a multiple of its size. */
export const deviceSlot = {
  tag: 0,
  blocks: 64,
  /** The device's first block among all blocks, those of the image first. */
  mappedBlock: 68,
  bytes: 128,
} as const

/** Fields that struct erofs_inode_compact and struct erofs_inode_extended have at the same place; a compact size has 4 bytes. */
export const inodeHead = {
  format: 0,
  xattrCount: 2,
  mode: 4,
  size: 8,
  union: 16,
  ino: 20,
} as const

/** struct erofs_inode_compact. */
export const compact = {
  ...inodeHead,
  nlink: 6,
  /** Seconds since the superblock's build time; always 0 in composefs images. */
  mtimeDelta: 12,
  uid: 24,
  gid: 26,
  bytes: 32,
} as const

/** struct erofs_inode_extended. */
export const extended = {
  ...inodeHead,
  uid: 24,
  gid: 28,
  mtime: 32,
  mtimeNsec: 40,
  nlink: 44,
  bytes: 64,
} as const

/** The inode's format field: bit 0 says extended, bits 1–3 hold the layout, the rest must be zero. */
export const formatExtended = 1
export const layoutShift = 1
export const layoutMask = 7
export const formatKnown = 0xf

/** Layout with all data in blocks of its own, the first of which the union names. */
export const flatPlain = 0
export const compressedFull = 1
/** Layout like flatPlain, but the last partial block follows the inode. */
export const flatInline = 2
export const compressedCompact = 3
/** Layout with a table of chunk addresses behind the inode. */
export const chunkBased = 4

/** The union of a chunk-based inode: bits 0–4 hold log2(chunk size / block size), bit 5 says 8-byte indexes. */
export const chunkBitsMask = 0x1f
export const chunkIndexes = 0x20
export const chunkFormatKnown = 0x3f
export const nullChunk = 0xffffffff

/** struct erofs_inode_chunk_index: an address of 8 bytes; one of 4 is the block alone. */
export const chunkIndex = {
  device: 2,
  block: 4,
  bytes: 8,
} as const

export const minChunkBits = blockBits
export const maxChunkBits = blockBits + chunkBitsMask

/** struct erofs_dirent; names follow back to back after the last one of a block. */
export const dirent = {
  nid: 0,
  nameOffset: 8,
  fileType: 10,
  bytes: 12,
} as const

/** struct erofs_xattr_ibody_header; then `sharedCount` × u32, then local entries. */
export const xattrBody = {
  nameFilter: 0,
  sharedCount: 4,
  bytes: 12,
} as const

/** struct erofs_xattr_entry; then the name's suffix, the value, and zeros up to a multiple of four. */
export const xattrEntry = {
  nameLength: 0,
  nameIndex: 1,
  valueLength: 2,
  bytes: 4,
} as const

/**
 * Name prefixes that are stored as a number, in the order composefs tries them. Index 5 (`lustre.`) is read but never
 * written: mkcomposefs does not know it.
 */
export const xattrPrefixes: readonly (readonly [index: number, prefix: string])[] = [
  [1, 'user.'],
  [2, 'system.posix_acl_access'],
  [3, 'system.posix_acl_default'],
  [4, 'trusted.'],
  [6, 'security.'],
]
export const xattrPrefixLustre = 5

/** The name filter's bit of a name is xxh32(suffix, seed + prefix index) & 31; a *clear* bit says "may be here". */
export const xattrFilterSeed = 0x25bbe08f

/** dirent.fileType by st_mode's type bits (mode >> 12). */
export const fileTypes: readonly (number | undefined)[] = sparse([
  [0o01, 5], // fifo
  [0o02, 3], // character device
  [0o04, 2], // directory
  [0o06, 4], // block device
  [0o10, 1], // regular file
  [0o12, 7], // symlink
  [0o14, 6], // socket
])

function sparse(pairs: readonly (readonly [index: number, value: number])[]): (number | undefined)[] {
  const table: (number | undefined)[] = Array.from({ length: 16 }, () => undefined)
  for (const [index, value] of pairs) table[index] = value
  return table
}

/** The longest name of a directory entry and of an xattr's suffix. */
export const nameMax = 255
/** The longest symlink target the kernel accepts. */
export const targetMax = 4095
/** The most shared xattrs that an inode refers to. */
export const sharedRefsMax = 128

export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to
}
