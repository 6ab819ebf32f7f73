import koffi from 'koffi'
import { OnefoldError } from '../error.ts'
import { zStreamBytes } from './zlib.ts'

/**
 * Whole gzip members (RFC 1952) and zstd frames (RFC 8878) as this Node carries the libraries, each from nothing but its
 * own bytes. What comes out depends on what goes in, the level and the libraries' versions; see deflate.ts for processors.
 */
export interface Compressor extends Disposable {
  /** Writes one member or frame into `output`, which has room for compressedMax(); returns its length. */
  compress(input: Uint8Array, output: Uint8Array): number
}

export type MemberCoding = 'gzip' | 'zstd'

/** What levels each coding has. */
export const memberLevels: Readonly<Record<MemberCoding, { min: number; max: number; usual: number }>> = {
  gzip: { min: 1, max: 9, usual: 6 },
  zstd: { min: 1, max: 19, usual: 3 },
}

/** More than either makes of bytes that do not compress. */
export function compressedMax(length: number): number {
  return length + (length >> 3) + 1024
}

export function memberCompressor(coding: MemberCoding, level: number): Compressor {
  return coding === 'gzip' ? gzipCompressor(level) : zstdCompressor(level)
}

interface Functions {
  readonly init: (
    stream: Uint8Array,
    level: number,
    method: number,
    windowBits: number,
    memLevel: number,
    strategy: number,
    version: string,
    size: number,
  ) => number
  readonly setHeader: (stream: Uint8Array, header: Uint8Array) => number
  readonly deflate: (stream: Uint8Array, flush: number) => number
  readonly end: (stream: Uint8Array) => number
  readonly version: () => string
  readonly zstdCreate: () => unknown
  readonly zstdFree: (context: unknown) => number
  readonly zstdSet: (context: unknown, parameter: number, value: number) => number
  readonly zstdCompress: (
    context: unknown,
    output: Uint8Array,
    room: number,
    input: Uint8Array,
    length: number,
  ) => number
  readonly zstdIsError: (code: number) => number
  readonly zstdErrorName: (code: number) => string
}

let loaded: Functions | undefined

function functions(): Functions {
  loaded ??= load()
  return loaded
}

function load(): Functions {
  const self = koffi.load(null)
  try {
    return {
      init: self.func(
        'int deflateInit2_(void *stream, int level, int method, int windowBits, int memLevel, int strategy, const char *version, int size)',
      ),
      setHeader: self.func('int deflateSetHeader(void *stream, void *header)'),
      deflate: self.func('int deflate(void *stream, int flush)'),
      end: self.func('int deflateEnd(void *stream)'),
      version: self.func('const char *zlibVersion()'),
      zstdCreate: self.func('void *ZSTD_createCCtx()'),
      zstdFree: self.func('size_t ZSTD_freeCCtx(void *context)'),
      zstdSet: self.func('size_t ZSTD_CCtx_setParameter(void *context, int parameter, int value)'),
      zstdCompress: self.func(
        'size_t ZSTD_compress2(void *context, void *output, size_t room, void *input, size_t length)',
      ),
      zstdIsError: self.func('unsigned int ZSTD_isError(size_t code)'),
      zstdErrorName: self.func('const char *ZSTD_getErrorName(size_t code)'),
    }
  } catch (cause) {
    throw new OnefoldError('UNSUPPORTED', 'Cannot compress layers: this Node does not export its zlib and zstd', {
      cause,
      hint: 'Run onefold with the Node that `npm ci` installs beside it.',
    })
  }
}

const Z_DEFLATED = 8
const Z_DEFAULT_STRATEGY = 0
const Z_FINISH = 4
const Z_OK = 0
const Z_STREAM_END = 1
/** gz_header of zlib.h: no name, no time; the system is the int at 20, 255 for unknown. */
const gzHeaderBytes = 80
const gzHeaderSystemAt = 20

/**
 * A state for each member: one that is used again remembers bytes of the member before. Small members get small windows
 * and tables, which are set up sooner.
 */
function gzipCompressor(level: number): Compressor {
  const { init, setHeader, deflate, end, version } = functions()
  const stream = new Uint8Array(zStreamBytes)
  const view = new DataView(stream.buffer)
  const header = new Uint8Array(gzHeaderBytes)
  header[gzHeaderSystemAt] = 255
  return {
    compress(input, output) {
      const bits = Math.min(15, Math.max(9, 32 - Math.clz32(input.length)))
      stream.fill(0)
      check(init(stream, level, Z_DEFLATED, bits + 16, bits - 7, Z_DEFAULT_STRATEGY, version(), stream.length), Z_OK)
      try {
        check(setHeader(stream, header), Z_OK)
        view.setBigUint64(0, koffi.address(input), true)
        view.setUint32(8, input.length, true)
        view.setBigUint64(24, koffi.address(output), true)
        view.setUint32(32, output.length, true)
        check(deflate(stream, Z_FINISH), Z_STREAM_END)
        return output.length - view.getUint32(32, true)
      } finally {
        end(stream)
      }
    },
    [Symbol.dispose]() {},
  }
}

const ZSTD_c_compressionLevel = 100

function zstdCompressor(level: number): Compressor {
  const { zstdCreate, zstdFree, zstdSet, zstdCompress, zstdIsError, zstdErrorName } = functions()
  const context = zstdCreate()
  zstdSet(context, ZSTD_c_compressionLevel, level)
  return {
    compress(input, output) {
      const length = zstdCompress(context, output, output.length, input, input.length)
      if (zstdIsError(length) !== 0) throw new Error(`zstd answers ${zstdErrorName(length)}`)
      return length
    },
    [Symbol.dispose]: () => void zstdFree(context),
  }
}

function check(code: number, expected: number): void {
  if (code !== expected) throw new Error(`zlib answers ${code} instead of ${expected}`)
}
