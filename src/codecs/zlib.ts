import koffi from 'koffi'
import { OnefoldError } from '../error.ts'
import { detectCompression } from './detect.ts'

/**
 * zlib and zstd as this Node carries them, called directly on memory that two threads share. Node's own streams cost a
 * third more here: a buffer allocated, zeroed and collected for every chunk, and a trip through the event loop.
 *
 * Layouts: `z_stream` of zlib.h and `ZSTD_inBuffer`/`ZSTD_outBuffer` of zstd.h, the same on every 64-bit Linux.
 */

/** Decodes one compressed blob, piece by piece, into memory the caller owns. */
export interface Decoder extends Disposable {
  /** Consumes from `input` and fills `output` as far as either goes. */
  step(input: Uint8Array, output: Uint8Array): Step
  /** Throws BAD_FORMAT when the input ended in the middle of a member or frame. */
  end(): void
}

export interface Step {
  readonly consumed: number
  readonly produced: number
}

export const zStreamBytes = 112
export const gzipWindowBits = 15 + 16
export const Z_OK = 0
export const Z_STREAM_END = 1
export const Z_BUF_ERROR = -5
const ZSTD_d_windowLogMax = 100

export interface Codecs {
  readonly inflateInit2: (stream: Uint8Array, windowBits: number, version: string, size: number) => number
  readonly inflate: (stream: Uint8Array, flush: number) => number
  readonly inflateReset: (stream: Uint8Array) => number
  readonly inflateEnd: (stream: Uint8Array) => number
  readonly inflatePrime: (stream: Uint8Array, bits: number, value: number) => number
  readonly inflateSetDictionary: (stream: Uint8Array, window: Uint8Array, length: number) => number
  readonly zlibVersion: () => string
  readonly zstdCreate: () => unknown
  readonly zstdFree: (context: unknown) => number
  readonly zstdSet: (context: unknown, parameter: number, value: number) => number
  readonly zstdDecompress: (context: unknown, output: Uint8Array, input: Uint8Array) => number
  readonly zstdIsError: (code: number) => number
  readonly zstdErrorName: (code: number) => string
}

let loaded: Codecs | undefined

export function codecs(): Codecs {
  loaded ??= load()
  return loaded
}

function load(): Codecs {
  const self = koffi.load(null)
  try {
    return {
      inflateInit2: self.func('int inflateInit2_(void *stream, int windowBits, const char *version, int size)'),
      inflate: self.func('int inflate(void *stream, int flush)'),
      inflateReset: self.func('int inflateReset(void *stream)'),
      inflateEnd: self.func('int inflateEnd(void *stream)'),
      inflatePrime: self.func('int inflatePrime(void *stream, int bits, int value)'),
      inflateSetDictionary: self.func('int inflateSetDictionary(void *stream, void *window, unsigned int length)'),
      zlibVersion: self.func('const char *zlibVersion()'),
      zstdCreate: self.func('void *ZSTD_createDStream()'),
      zstdFree: self.func('size_t ZSTD_freeDStream(void *context)'),
      zstdSet: self.func('size_t ZSTD_DCtx_setParameter(void *context, int parameter, int value)'),
      zstdDecompress: self.func('size_t ZSTD_decompressStream(void *context, void *output, void *input)'),
      zstdIsError: self.func('unsigned int ZSTD_isError(size_t code)'),
      zstdErrorName: self.func('const char *ZSTD_getErrorName(size_t code)'),
    }
  } catch (cause) {
    throw new OnefoldError('UNSUPPORTED', 'Cannot decompress layers: this Node does not export its zlib and zstd', {
      cause,
      hint: 'Run onefold with the Node that `npm ci` installs beside it.',
    })
  }
}

/**
 * Gzip (RFC 1952), any number of members. zlib itself checks CRC and length of each member. As gzip(1) and Go do not
 * agree on what may follow the last member, zero padding is let through and everything else is refused.
 */
export function gunzip(): Decoder {
  const { inflateInit2, inflate, inflateReset, inflateEnd, zlibVersion } = codecs()
  const stream = new Uint8Array(zStreamBytes)
  const view = new DataView(stream.buffer)
  check(inflateInit2(stream, gzipWindowBits, zlibVersion(), zStreamBytes))
  let phase: 'first' | 'inside' | 'between' | 'padding' = 'first'
  return { step, end, [Symbol.dispose]: () => void inflateEnd(stream) }

  function step(input: Uint8Array, output: Uint8Array): Step {
    if (input.length === 0) return { consumed: 0, produced: 0 }
    if (phase === 'between' || phase === 'padding') {
      const zeros = countZeros(input)
      if (zeros > 0) {
        phase = 'padding'
        return { consumed: zeros, produced: 0 }
      }
      if (phase === 'padding') throw badGzip('bytes follow the zero padding after its last member')
      check(inflateReset(stream))
    }
    phase = 'inside'
    view.setBigUint64(0, koffi.address(input), true)
    view.setUint32(8, input.length, true)
    view.setBigUint64(24, koffi.address(output), true)
    view.setUint32(32, output.length, true)
    const code = inflate(stream, 0)
    if (code === Z_STREAM_END) phase = 'between'
    else if (code !== Z_OK && code !== Z_BUF_ERROR) throw badGzip(messageOf(view, code))
    return { consumed: input.length - view.getUint32(8, true), produced: output.length - view.getUint32(32, true) }
  }

  function end(): void {
    if (phase === 'first') throw badGzip('it is empty')
    if (phase === 'inside') throw badGzip('it ends in the middle of a member')
  }

  function check(code: number): void {
    if (code !== Z_OK) throw badGzip(messageOf(view, code))
  }
}

/** z_stream.msg, where zlib says what it found. */
export function messageOf(view: DataView, code: number): string {
  const address = view.getBigUint64(48, true)
  return address === 0n ? `zlib error ${code}` : String(koffi.decode(address, 'char', -1))
}

export function badGzip(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decompress gzip data: ${found}`)
}

export function countZeros(bytes: Uint8Array): number {
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? bytes.length : first
}

/**
 * Zstandard (RFC 8878): any number of frames, skippable and empty ones among them.
 * @param windowLog the largest window accepted, as a power of two; each decoder may take that much memory
 * @param onFrame hears of every frame that has been consumed and given out to its end
 */
export function unzstd(windowLog: number, onFrame?: () => void): Decoder {
  const { zstdCreate, zstdFree, zstdSet, zstdDecompress, zstdIsError, zstdErrorName } = codecs()
  const context = zstdCreate()
  zstdSet(context, ZSTD_d_windowLogMax, windowLog)
  const buffers = new Uint8Array(48)
  const [out, into] = [buffers.subarray(0, 24), buffers.subarray(24, 48)]
  const view = new DataView(buffers.buffer)
  let seen = false
  let insideFrame = false
  return { step, end, [Symbol.dispose]: () => void zstdFree(context) }

  function step(input: Uint8Array, output: Uint8Array): Step {
    setBuffer(0, output)
    setBuffer(24, input)
    const code = zstdDecompress(context, out, into)
    if (zstdIsError(code) !== 0) throw badZstd(zstdErrorName(code))
    const [produced, consumed] = [Number(view.getBigUint64(16, true)), Number(view.getBigUint64(40, true))]
    if (consumed > 0) seen = true
    if (consumed > 0 || produced > 0) {
      insideFrame = code !== 0
      if (!insideFrame) onFrame?.()
    }
    return { consumed, produced }
  }

  function setBuffer(at: number, bytes: Uint8Array): void {
    view.setBigUint64(at, bytes.length === 0 ? 0n : koffi.address(bytes), true)
    view.setBigUint64(at + 8, BigInt(bytes.length), true)
    view.setBigUint64(at + 16, 0n, true)
  }

  function end(): void {
    if (!seen) throw badZstd('it is empty')
    if (insideFrame) throw badZstd('it ends in the middle of a frame')
  }
}

function badZstd(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decompress zstd data: ${found}`)
}

/**
 * What decodes a blob that begins with these bytes: by magic, never by media type, since registries serve every mixture
 * of the two. Throws UNSUPPORTED for compressions that layers do not have.
 */
export function decoderFor(first: Uint8Array, zstdWindowLog: number): Decoder {
  switch (detectCompression(first)) {
    case 'gzip':
      return gunzip()
    case 'zstd':
      return unzstd(zstdWindowLog)
    case 'none':
      return copier()
  }
}

/** Bytes that are not compressed. */
export function copier(): Decoder {
  return {
    step(input, output) {
      const length = Math.min(input.length, output.length)
      output.set(input.subarray(0, length))
      return { consumed: length, produced: length }
    },
    end() {},
    [Symbol.dispose]() {},
  }
}
