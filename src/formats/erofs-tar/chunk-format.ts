/** Cuts the content of a file into one chunk, or several if no chunk can be as large. */
import { blockBits } from './record-blocks.ts'
import { chunkBitsMask } from '../erofs/erofs-records.ts'

/** The binary logarithm of the size of a file's chunks: the smallest power of two that holds it, at least a block. */
export function chunkBitsOf(size: number): number {
  let bits = blockBits
  while (2 ** bits < size && bits < blockBits + chunkBitsMask) bits++
  return bits
}

export function chunkCountOf(size: number): number {
  return Math.ceil(size / 2 ** chunkBitsOf(size))
}
