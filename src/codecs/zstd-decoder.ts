import { constants } from 'node:zlib'
import { OnefoldError } from '../error.ts'
import type { Decoder, Step } from './codec.ts'
import { type Zstd, addressOf, nativeZstd } from './native.ts'

/** Size of `ZSTD_outBuffer` and `ZSTD_inBuffer` of zstd.h, the same on every 64-bit Linux: address, size, position. */
const bufferBytes = 24
const sizeAt = 8
const positionAt = 16

export interface ZstdDecoderOptions {
  /** Called for every frame that has been consumed and given out to its end. */
  readonly onFrame?: () => void
  readonly functions?: Zstd
}

/** Decodes Zstandard (RFC 8878): any number of frames, skippable and empty ones among them. */
export class ZstdDecoder implements Decoder {
  readonly #zstd: Zstd
  readonly #onFrame: (() => void) | undefined
  readonly #buffers = new Uint8Array(2 * bufferBytes)
  readonly #view = new DataView(this.#buffers.buffer)
  readonly #output = this.#buffers.subarray(0, bufferBytes)
  readonly #input = this.#buffers.subarray(bufferBytes)
  #context: unknown
  #phase: 'first' | 'inside' | 'between' = 'first'

  /** @param windowLog the largest window accepted, as a power of two; each decoder may take that much memory */
  constructor(windowLog: number, { onFrame, functions = nativeZstd.any() }: ZstdDecoderOptions = {}) {
    this.#zstd = functions
    this.#onFrame = onFrame
    this.#context = functions.createDecoder()
    functions.setDecoder(this.#context, constants.ZSTD_d_windowLogMax, windowLog)
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    this.#setBuffer(0, output)
    this.#setBuffer(bufferBytes, input)
    const code = this.#zstd.decompress(this.#context, this.#output, this.#input)
    if (this.#zstd.isError(code) !== 0) throw badZstd(this.#zstd.errorName(code))
    const produced = this.#position(0)
    const consumed = this.#position(bufferBytes)
    if (consumed > 0 || produced > 0) this.#enter(code === 0 ? 'between' : 'inside')
    return { consumed, produced }
  }

  end(): void {
    if (this.#phase === 'first') throw badZstd('it is empty')
    if (this.#phase === 'inside') throw badZstd('it ends in the middle of a frame')
  }

  [Symbol.dispose](): void {
    this.#zstd.freeDecoder(this.#context)
    this.#context = null
  }

  #enter(phase: 'inside' | 'between'): void {
    this.#phase = phase
    if (phase === 'between') this.#onFrame?.()
  }

  #setBuffer(at: number, bytes: Uint8Array): void {
    this.#view.setBigUint64(at, addressOf(bytes), true)
    this.#view.setBigUint64(at + sizeAt, BigInt(bytes.length), true)
    this.#view.setBigUint64(at + positionAt, 0n, true)
  }

  #position(at: number): number {
    return Number(this.#view.getBigUint64(at + positionAt, true))
  }
}

function badZstd(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decompress zstd data: ${found}`)
}
