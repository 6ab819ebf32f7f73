import { constants, gzipSync } from 'node:zlib'
import { type MemberEncoder, encodedMax } from './codec.ts'
import type { Zlib } from './native.ts'
import { ZStream, requireCode } from './z-stream.ts'

const { Z_OK, Z_STREAM_END, Z_FINISH } = constants
/** Number to add to the window bits so that zlib writes a header and a trailer of gzip. */
const gzipWrapper = 16
/**
 * Offset of the byte in a member's header that names the system which made it (RFC 1952, section 2.3.1); 255: unknown.
 */
const systemAt = 9
const unknownSystem = 255
/** `gz_header` of zlib.h: no name, no time; the system is the int at 20. */
const structBytes = 80
const structSystemAt = 20

/**
 * Returns the window bits for input of a length: small members get small windows and tables, which are set up sooner.
 */
function windowBitsFor(length: number): number {
  return Math.min(15, Math.max(9, 32 - Math.clz32(length)))
}

function memLevelFor(windowBits: number): number {
  return windowBits - 7
}

/** Makes gzip members, with a zlib state for each: one that is used again remembers bytes of the member before. */
export class GzipEncoder implements MemberEncoder {
  readonly #zlib: Zlib
  readonly #level: number
  readonly #stream = new ZStream()
  readonly #header = new Uint8Array(structBytes)

  /** @param own the zlib of this Node; another one would give other bytes */
  constructor(level: number, own: Zlib) {
    this.#zlib = own
    this.#level = level
    this.#header[structSystemAt] = unknownSystem
  }

  encode(input: Uint8Array, output: Uint8Array): number {
    const windowBits = windowBitsFor(input.length)
    this.#stream.beginDeflate(this.#zlib, {
      level: this.#level,
      windowBits: windowBits + gzipWrapper,
      memLevel: memLevelFor(windowBits),
    })
    try {
      return this.#deflate(input, output)
    } finally {
      this.#zlib.deflateEnd(this.#stream.struct)
    }
  }

  [Symbol.dispose](): void {}

  #deflate(input: Uint8Array, output: Uint8Array): number {
    const stream = this.#stream
    requireCode(this.#zlib.deflateSetHeader(stream.struct, this.#header), Z_OK)
    stream.setInput(input)
    stream.setOutput(output)
    requireCode(this.#zlib.deflate(stream.struct, Z_FINISH), Z_STREAM_END)
    return output.length - stream.free
  }
}

/**
 * Makes the same members by way of node:zlib, where this Node does not export its zlib; costs a buffer and a copy each.
 */
export class NodeGzipEncoder implements MemberEncoder {
  readonly #level: number

  constructor(level: number) {
    this.#level = level
  }

  encode(input: Uint8Array, output: Uint8Array): number {
    const windowBits = windowBitsFor(input.length)
    const memLevel = memLevelFor(windowBits)
    const member = gzipSync(input, { level: this.#level, windowBits, memLevel, chunkSize: encodedMax(input.length) })
    member[systemAt] = unknownSystem
    output.set(member)
    return member.length
  }

  [Symbol.dispose](): void {}
}
