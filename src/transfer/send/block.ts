import { deflateBlock, deflateVersion, deflatedMax, dictionaryBytes } from '../../codecs/deflate-block.ts'

/**
 * A part of a tar on its way to be compressed, in memory that threads share:
 *
 *     input    dictionary (32 KiB, filled from its end) │ up to 1 MiB of tar
 *     output   what deflate makes of it
 */
export interface Block {
  readonly input: Uint8Array
  readonly output: Uint8Array
  /** Bytes that came before the block and may be referred to. */
  readonly dictionary: number
  readonly length: number
  readonly isLast: boolean
  /** Level of zlib; undefined for the parameters in deflate-block.ts. */
  readonly level: number | undefined
}

export interface Deflated {
  /** Bytes of the block's output. */
  readonly length: number
}

/** Part of the format: other sizes give other bytes. */
export const blockBytes = 1024 * 1024

/** Name of everything that decides the bytes that come out; under other names nothing is known to be the same. */
export const compressionName = `gzip ${deflateVersion} zlib ${process.versions.zlib}`

export type Slot = Pick<Block, 'input' | 'output'>

export function newSlot(): Slot {
  return {
    input: new Uint8Array(new SharedArrayBuffer(dictionaryBytes + blockBytes)),
    output: new Uint8Array(new SharedArrayBuffer(deflatedMax(blockBytes))),
  }
}

/** Returns how many bytes of the output are used. */
export function compressBlock(block: Block): number {
  const dictionary = block.input.subarray(dictionaryBytes - block.dictionary, dictionaryBytes)
  const input = block.input.subarray(dictionaryBytes, dictionaryBytes + block.length)
  return deflateBlock(input, dictionary, block.isLast, block.output, block.level)
}
