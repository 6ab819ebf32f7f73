import { constants } from 'node:zlib'
import type { Decoder, Step } from './codec.ts'
import { type Zlib, nativeZlib } from './native.ts'
import { ZStream, badGzip } from './z-stream.ts'

const { Z_OK, Z_STREAM_END, Z_BUF_ERROR, Z_NO_FLUSH, Z_BLOCK } = constants
const windowBits = 15 + 16
const nothingDone: Step = { consumed: 0, produced: 0 }

/**
 * Decodes gzip (RFC 1952), any number of members. zlib itself checks CRC and length of each member. As gzip(1) and Go
 * do not agree on what may follow the last member, zero padding is let through and everything else is refused.
 */
export class GzipDecoder implements Decoder {
  readonly #zlib: Zlib
  readonly #flush: number
  readonly #stream = new ZStream()
  #phase: 'first' | 'inside' | 'between' | 'padding' = 'first'

  /** @param stopsAtBlocks whether a step goes no further than to the end of a deflate block */
  constructor(functions: Zlib = nativeZlib.any(), stopsAtBlocks = false) {
    this.#zlib = functions
    this.#flush = stopsAtBlocks ? Z_BLOCK : Z_NO_FLUSH
    this.#stream.beginInflate(functions, windowBits)
  }

  /** `data_type` of the stream, as the last step left it within a member; undefined outside. */
  get dataType(): number | undefined {
    return this.#phase === 'inside' ? this.#stream.dataType : undefined
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    if (input.length === 0) return nothingDone
    if (this.#phase === 'between' || this.#phase === 'padding') {
      const zeros = countZeros(input)
      if (zeros > 0) return this.#skipPadding(zeros)
      this.#beginMember()
    }
    this.#phase = 'inside'
    return this.#inflate(input, output)
  }

  end(): void {
    if (this.#phase === 'first') throw badGzip('it is empty')
    if (this.#phase === 'inside') throw badGzip('it ends in the middle of a member')
  }

  [Symbol.dispose](): void {
    this.#zlib.inflateEnd(this.#stream.struct)
  }

  #skipPadding(zeros: number): Step {
    this.#phase = 'padding'
    return { consumed: zeros, produced: 0 }
  }

  #beginMember(): void {
    if (this.#phase === 'padding') throw badGzip('bytes follow the zero padding after its last member')
    this.#stream.requireOk(this.#zlib.inflateReset(this.#stream.struct))
  }

  #inflate(input: Uint8Array, output: Uint8Array): Step {
    const stream = this.#stream
    stream.setInput(input)
    stream.setOutput(output)
    const code = this.#zlib.inflate(stream.struct, this.#flush)
    if (code === Z_STREAM_END) this.#phase = 'between'
    else if (code !== Z_OK && code !== Z_BUF_ERROR) throw stream.badGzip(code)
    return { consumed: input.length - stream.unread, produced: output.length - stream.free }
  }
}

function countZeros(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? bytes.length : first
}
