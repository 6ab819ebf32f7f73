import { constants } from 'node:zlib'
import type { Decoder, Step } from './codec.ts'
import { GzipDecoder } from './gzip-decoder.ts'
import { type Zlib, nativeZlib } from './native.ts'
import { ZStream } from './z-stream.ts'

const { Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_NO_FLUSH } = constants
const rawWindowBits = -15
/** Size of CRC and length, which a raw stream knows nothing of. */
const trailerBytes = 8

/**
 * Decodes gzip from a point within a member, on to its end and through the members after it, by zlib's own means
 * (inflatePrime, inflateSetDictionary), as its example zran.c shows. The checksum of the first member cannot be
 * checked: the caller has a digest of what goes in or of what comes out.
 */
export class GzipSpanDecoder implements Decoder {
  readonly #zlib: Zlib
  readonly #stream = new ZStream()
  readonly #bits: number
  readonly #window: Uint8Array
  #phase: 'unprimed' | 'inside' | 'trailer' = 'unprimed'
  #trailerLeft = trailerBytes
  #following: GzipDecoder | undefined

  /**
   * @param bits how many of the first byte's bits, its highest, belong to the stream; 0: all of it
   * @param window the output before that point, at most 32 KiB
   */
  constructor(bits: number, window: Uint8Array, functions: Zlib = nativeZlib.any()) {
    this.#zlib = functions
    this.#bits = bits
    this.#window = window
    this.#stream.beginInflate(functions, rawWindowBits)
    if (bits === 0) this.#setWindow()
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    if (this.#following !== undefined) return this.#following.step(input, output)
    const [first] = input
    if (first === undefined) return { consumed: 0, produced: 0 }
    switch (this.#phase) {
      case 'unprimed':
        return this.#prime(first)
      case 'inside':
        return this.#inflate(input, output)
      case 'trailer':
        return this.#skipTrailer(input)
    }
  }

  /** Accepts any end, since a span may end anywhere. */
  end(): void {}

  [Symbol.dispose](): void {
    this.#zlib.inflateEnd(this.#stream.struct)
    this.#following?.[Symbol.dispose]()
  }

  #prime(first: number): Step {
    this.#stream.requireOk(this.#zlib.inflatePrime(this.#stream.struct, this.#bits, first >> (8 - this.#bits)))
    this.#setWindow()
    return { consumed: 1, produced: 0 }
  }

  #setWindow(): void {
    this.#stream.requireOk(this.#zlib.inflateSetDictionary(this.#stream.struct, this.#window, this.#window.length))
    this.#phase = 'inside'
  }

  #inflate(input: Uint8Array, output: Uint8Array): Step {
    const stream = this.#stream
    stream.setInput(input)
    stream.setOutput(output)
    const code = this.#zlib.inflate(stream.struct, Z_NO_FLUSH)
    if (code === Z_STREAM_END) this.#phase = 'trailer'
    else if (code !== Z_OK && code !== Z_BUF_ERROR) throw stream.badGzip(code)
    return { consumed: input.length - stream.unread, produced: output.length - stream.free }
  }

  #skipTrailer(input: Uint8Array): Step {
    const consumed = Math.min(this.#trailerLeft, input.length)
    this.#trailerLeft -= consumed
    if (this.#trailerLeft === 0) this.#following = new GzipDecoder(this.#zlib)
    return { consumed, produced: 0 }
  }
}
