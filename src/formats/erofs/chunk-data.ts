import { piecesOf, zeros } from './data-pieces.ts'
import { unsupported } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { align, chunkBitsMask, chunkFormatKnown, chunkIndex, chunkIndexes, nullChunk } from './erofs-records.ts'
import type { ErofsVolume } from './erofs-volume.ts'

/** Where a chunk begins: on the image itself, which is device 0, or on another one. */
export interface ChunkAddress {
  readonly device: number
  readonly block: number
}

export interface Chunk {
  readonly length: number
  /** Undefined: a hole, all zeros. */
  readonly address: ChunkAddress | undefined
}

/** Chunk-based data: a table of addresses behind the inode, one for each chunk, a null address for a hole. */
export function* chunkData(volume: ErofsVolume, inode: RawInode): Generator<Uint8Array> {
  const what = 'a chunk of inode'
  for (const { length, address } of chunksOf(volume, inode))
    if (address === undefined) yield* zeros(length)
    else yield* piecesOf(volume.bytes, ...volume.blocks(address.block, length, address.device, what, inode.nid))
}

/** The chunks of an inode in order, which may be addresses that no device has. */
export function* chunksOf(volume: ErofsVolume, inode: RawInode): Generator<Chunk> {
  const { size, nid } = inode
  const { chunkSize, addressBytes } = readFormat(volume, inode)
  const table = align(inode.tailAt, addressBytes)
  volume.bytes.need(table, Math.ceil(size / chunkSize) * addressBytes, 'the chunks of inode', nid)
  for (let i = 0; i * chunkSize < size; i++) {
    const address = readAddress(volume, table + i * addressBytes, addressBytes)
    yield { length: Math.min(chunkSize, size - i * chunkSize), address: isHole(address) ? undefined : address }
  }
}

function isHole({ device, block }: ChunkAddress): boolean {
  return block === nullChunk && device === 0
}

function readFormat({ blockBits }: ErofsVolume, { union, nid }: RawInode): { chunkSize: number; addressBytes: 4 | 8 } {
  const format = union & 0xffff
  if ((format & ~chunkFormatKnown) !== 0) throw unsupported(`inode ${nid} has chunk format 0x${format.toString(16)}`)
  return {
    chunkSize: 2 ** (blockBits + (format & chunkBitsMask)),
    addressBytes: (format & chunkIndexes) === 0 ? 4 : chunkIndex.bytes,
  }
}

function readAddress({ bytes }: ErofsVolume, at: number, addressBytes: 4 | 8): ChunkAddress {
  if (addressBytes === 4) return { block: bytes.u32(at), device: 0 }
  return { block: bytes.u32(at + chunkIndex.block), device: bytes.u16(at + chunkIndex.device) }
}
