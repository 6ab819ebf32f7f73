import { type MemberEncoder, encodedMax } from '../../codecs/codec.ts'
import type { MemberCoding } from '../../codecs/coding.ts'

/**
 * Members on their way to be compressed, in memory that threads share, since a message for each small file would cost more
 * than to compress it:
 *
 *     input │ input │ …          as long as `lengths` says
 *     output │ output │ …        each with room for encodedMax() of its input
 */
export interface Batch {
  readonly memory: Uint8Array
  readonly lengths: readonly number[]
  readonly coding: MemberCoding
  readonly level: number
}

/** Bytes used of each output. */
export interface CompressedBatch {
  readonly lengths: readonly number[]
}

/** Layout of a batch's memory. */
export interface Places {
  readonly inputs: readonly number[]
  readonly outputs: readonly number[]
  readonly size: number
}

export function placesOf(lengths: readonly number[]): Places {
  let size = 0
  const take = (length: number): number => (size += length) - length
  const inputs = lengths.map(take)
  const outputs = lengths.map((length) => take(encodedMax(length)))
  return { inputs, outputs, size }
}

export function compressBatch({ memory, lengths }: Batch, encoder: MemberEncoder): CompressedBatch {
  const { inputs, outputs } = placesOf(lengths)
  const used = lengths.map((length, i) => {
    const [from, to] = [inputs[i] ?? 0, outputs[i] ?? 0]
    return encoder.encode(memory.subarray(from, from + length), memory.subarray(to, to + encodedMax(length)))
  })
  return { lengths: used }
}
