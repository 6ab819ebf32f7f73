import { constants } from 'node:zlib'
import { OnefoldError } from '../error.ts'
import { type Zlib, addressOf, textAt } from './native.ts'

/**
 * `z_stream` of zlib.h, the same on every 64-bit Linux:
 *
 *      0  next_in     24  next_out    48  msg
 *      8  avail_in    32  avail_out   88  data_type
 *
 * zlib remembers where it lies, so it must not move: bytes that a DataView looks at do not.
 */
const structBytes = 112
const nextIn = 0
const availIn = 8
const nextOut = 24
const availOut = 32
const message = 48
const dataType = 88

const Z_DEFLATED = 8

export interface DeflateOptions {
  readonly level: number
  readonly windowBits: number
  readonly memLevel: number
}

export class ZStream {
  readonly struct = new Uint8Array(structBytes)
  readonly #view = new DataView(this.struct.buffer)

  /** Begins to decompress; the caller ends it with inflateEnd(). */
  beginInflate({ inflateInit2, version }: Zlib, windowBits: number): void {
    this.requireOk(inflateInit2(this.struct, windowBits, version(), structBytes))
  }

  /** Begins to compress, with nothing left of what was compressed before; the caller ends it with deflateEnd(). */
  beginDeflate({ deflateInit2, version }: Zlib, { level, windowBits, memLevel }: DeflateOptions): void {
    this.struct.fill(0)
    const strategy = constants.Z_DEFAULT_STRATEGY
    requireCode(
      deflateInit2(this.struct, level, Z_DEFLATED, windowBits, memLevel, strategy, version(), structBytes),
      constants.Z_OK,
    )
  }

  setInput(bytes: Uint8Array): void {
    this.#view.setBigUint64(nextIn, addressOf(bytes), true)
    this.unread = bytes.length
  }

  setOutput(bytes: Uint8Array): void {
    this.#view.setBigUint64(nextOut, addressOf(bytes), true)
    this.#view.setUint32(availOut, bytes.length, true)
  }

  /** Number of bytes of the input that zlib has not taken yet. */
  get unread(): number {
    return this.#view.getUint32(availIn, true)
  }

  set unread(length: number) {
    this.#view.setUint32(availIn, length, true)
  }

  /** Number of bytes of the output that zlib has not filled yet. */
  get free(): number {
    return this.#view.getUint32(availOut, true)
  }

  get dataType(): number {
    return this.#view.getInt32(dataType, true)
  }

  /** Throws BAD_FORMAT unless the code that inflating gave is Z_OK. */
  requireOk(code: number): void {
    if (code !== constants.Z_OK) throw this.badGzip(code)
  }

  /** Returns the error for a code that inflating gave, in zlib's words where it has some. */
  badGzip(code: number): OnefoldError {
    const address = this.#view.getBigUint64(message, true)
    return badGzip(address === 0n ? `zlib error ${code}` : textAt(address))
  }
}

export function badGzip(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decompress gzip data: ${found}`)
}

/** Throws when zlib answers anything but `expected`; that is a bug, since it was given all it needs. */
export function requireCode(code: number, expected: number): void {
  if (code !== expected) throw new Error(`zlib answers ${code} instead of ${expected}`)
}
