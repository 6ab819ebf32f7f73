import { constants, zstdCompressSync } from 'node:zlib'
import { type MemberEncoder, encodedMax } from './codec.ts'
import type { Zstd } from './native.ts'

/** Makes zstd frames. */
export class ZstdEncoder implements MemberEncoder {
  readonly #zstd: Zstd
  #context: unknown

  /** @param own the zstd of this Node; another one would give other bytes */
  constructor(level: number, own: Zstd) {
    this.#zstd = own
    this.#context = own.createEncoder()
    own.setEncoder(this.#context, constants.ZSTD_c_compressionLevel, level)
  }

  encode(input: Uint8Array, output: Uint8Array): number {
    const length = this.#zstd.compress(this.#context, output, output.length, input, input.length)
    if (this.#zstd.isError(length) !== 0) throw new Error(`zstd answers ${this.#zstd.errorName(length)}`)
    return length
  }

  [Symbol.dispose](): void {
    this.#zstd.freeEncoder(this.#context)
    this.#context = null
  }
}

/**
 * Makes the same frames by way of node:zlib, where this Node does not export its zstd; costs a buffer and a copy each.
 * The bytes are the same only because all input and room for all output are given at once.
 */
export class NodeZstdEncoder implements MemberEncoder {
  readonly #level: number

  constructor(level: number) {
    this.#level = level
  }

  encode(input: Uint8Array, output: Uint8Array): number {
    const params = { [constants.ZSTD_c_compressionLevel]: this.#level }
    const frame = zstdCompressSync(input, { params, chunkSize: encodedMax(input.length) })
    output.set(frame)
    return frame.length
  }

  [Symbol.dispose](): void {}
}
