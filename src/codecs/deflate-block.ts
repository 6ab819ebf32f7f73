import koffi from 'koffi'
import { OnefoldError } from '../error.ts'

/**
 * Deflate (RFC 1951) as this Node carries it, block by block: blocks that are compressed apart, each with the bytes
 * before it as dictionary, make one stream when they are joined, as pigz does it.
 *
 * What comes out depends on nothing but what goes in and the parameters below, on every machine whose processor has CRC
 * instructions (x86-64 since 2011, all of arm64 but the very first): zlib looks for matches with them. Without, it finds
 * others in places, and the stream is as good and another one.
 */

/** To be raised with every change of what comes out: of the parameters, the blocks or their order. */
export const deflateVersion = 2

/** How far back a match may lie; more of a dictionary is of no use. */
export const dictionaryBytes = 32 * 1024

/**
 * Level 6 with shorter chains: within 3 % of what `gzip -6` gives, in half of its time. As good, lazy, nice and chain of
 * deflateTune().
 */
const tunedLevel = 6
const tuning = [4, 5, 32, 16] as const
/** Twice the hash table that zlib takes unasked: fewer chains with bytes that only hash alike. */
const memLevel = 9
/** New Huffman codes as often, in bytes of input: a tar changes with every file. zlib alone would wait for 32,768 symbols. */
const codeBytes = 16 * 1024
const zStreamBytes = 112
const rawWindowBits = -15
const Z_DEFLATED = 8
const Z_DEFAULT_STRATEGY = 0
const Z_SYNC_FLUSH = 2
const Z_FINISH = 4
const Z_BLOCK = 5
const Z_OK = 0
const Z_STREAM_END = 1

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
  readonly setDictionary: (stream: Uint8Array, dictionary: Uint8Array, length: number) => number
  readonly tune: (stream: Uint8Array, good: number, lazy: number, nice: number, chain: number) => number
  readonly deflate: (stream: Uint8Array, flush: number) => number
  readonly end: (stream: Uint8Array) => number
  readonly version: () => string
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
      setDictionary: self.func('int deflateSetDictionary(void *stream, void *dictionary, unsigned int length)'),
      tune: self.func('int deflateTune(void *stream, int good, int lazy, int nice, int chain)'),
      deflate: self.func('int deflate(void *stream, int flush)'),
      end: self.func('int deflateEnd(void *stream)'),
      version: self.func('const char *zlibVersion()'),
    }
  } catch (cause) {
    throw new OnefoldError('UNSUPPORTED', 'Cannot compress layers: this Node does not export its zlib', {
      cause,
      hint: 'Run onefold with the Node that `npm ci` installs beside it.',
    })
  }
}

/** So much the compressed form of `length` bytes may take: stored blocks of `codeBytes` at worst, and the flush. */
export function deflatedMax(length: number): number {
  return length + (length >> 10) + 1024
}

/**
 * Compresses a block into `output`, which has room for deflatedMax() of it; returns how much was written. All but the
 * last block end at a byte, open for the next.
 *
 * Every block has a zlib state of its own: one that is used again remembers bytes of the block before, and looks at the
 * first of them when it hashes the last of a dictionary.
 * @param dictionary the bytes before the block, up to 32 KiB; none for the first
 * @param level zlib's own, 1 to 9, instead of what is tuned above
 */
export function deflateBlock(
  input: Uint8Array,
  dictionary: Uint8Array,
  isLast: boolean,
  output: Uint8Array,
  level?: number,
): number {
  const { init, tune, setDictionary, deflate, end, version } = functions()
  const stream = new Uint8Array(zStreamBytes)
  const view = new DataView(stream.buffer)
  const { length } = stream
  check(
    init(stream, level ?? tunedLevel, Z_DEFLATED, rawWindowBits, memLevel, Z_DEFAULT_STRATEGY, version(), length),
    Z_OK,
  )
  try {
    if (level === undefined) check(tune(stream, ...tuning), Z_OK)
    if (dictionary.length > 0) check(setDictionary(stream, dictionary, dictionary.length), Z_OK)
    view.setBigUint64(0, input.length === 0 ? 0n : koffi.address(input), true)
    view.setBigUint64(24, koffi.address(output), true)
    view.setUint32(32, output.length, true)
    for (let given = 0, isEnd = false; !isEnd;) {
      const piece = Math.min(codeBytes, input.length - given)
      given += piece
      isEnd = given === input.length
      view.setUint32(8, piece, true)
      const flush = isEnd ? (isLast ? Z_FINISH : Z_SYNC_FLUSH) : Z_BLOCK
      check(deflate(stream, flush), flush === Z_FINISH ? Z_STREAM_END : Z_OK)
      const [unread, free] = [view.getUint32(8, true), view.getUint32(32, true)]
      if (unread > 0 || free === 0) throw new Error(`deflate left ${unread} bytes, with ${free} bytes of room`)
    }
    return output.length - view.getUint32(32, true)
  } finally {
    end(stream)
  }
}

function check(code: number, expected: number): void {
  if (code !== expected) throw new Error(`zlib answers ${code} instead of ${expected}`)
}
