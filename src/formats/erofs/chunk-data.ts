import { piecesOf, zeros } from './data-pieces.ts'
import { unsupported } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { align, chunkBitsMask, chunkFormatKnown, chunkIndex, chunkIndexes, nullChunk } from './erofs-records.ts'
import type { ErofsVolume } from './erofs-volume.ts'

/** Chunk-based data: a table of addresses behind the inode, one for each chunk, a null address for a hole. */
export function* chunkData(volume: ErofsVolume, inode: RawInode): Generator<Uint8Array> {
  const { size, nid } = inode
  const { chunkSize, addressBytes } = readFormat(volume, inode)
  const table = align(inode.tailAt, addressBytes)
  volume.bytes.need(table, Math.ceil(size / chunkSize) * addressBytes, 'the chunks of inode', nid)
  for (let i = 0; i * chunkSize < size; i++) {
    const length = Math.min(chunkSize, size - i * chunkSize)
    const { block, device } = readAddress(volume, table + i * addressBytes, addressBytes)
    if (block === nullChunk && device === 0) yield* zeros(length)
    else yield* piecesOf(volume.bytes, ...volume.blocks(block, length, device, 'a chunk of inode', nid))
  }
}

function readFormat({ blockBits }: ErofsVolume, { union, nid }: RawInode): { chunkSize: number; addressBytes: 4 | 8 } {
  const format = union & 0xffff
  if ((format & ~chunkFormatKnown) !== 0) throw unsupported(`inode ${nid} has chunk format 0x${format.toString(16)}`)
  return {
    chunkSize: 2 ** (blockBits + (format & chunkBitsMask)),
    addressBytes: (format & chunkIndexes) === 0 ? 4 : chunkIndex.bytes,
  }
}

function readAddress({ bytes }: ErofsVolume, at: number, addressBytes: 4 | 8): { block: number; device: number } {
  if (addressBytes === 4) return { block: bytes.u32(at), device: 0 }
  return { block: bytes.u32(at + chunkIndex.block), device: bytes.u16(at + chunkIndex.device) }
}
