/**
 * Starting to decompress in the middle of a gzip blob: the decoder that does it, and the one that notes on its way where it
 * can be done. Both by zlib's own means (inflatePrime, inflateSetDictionary, Z_BLOCK), as its example zran.c shows.
 */
import { createHash, type Hash } from 'node:crypto'
import koffi from 'koffi'
import {
  type Decoder,
  type Step,
  Z_BUF_ERROR,
  Z_OK,
  Z_STREAM_END,
  badGzip,
  codecs,
  countZeros,
  gunzip,
  gzipWindowBits,
  messageOf,
  zStreamBytes,
} from './zlib.ts'

const rawWindowBits = -15
const windowBytes = 32_768
/** CRC and length, which a raw stream is not aware of. */
const trailerBytes = 8
const Z_NO_FLUSH = 0
const Z_BLOCK = 5
/** z_stream.data_type after Z_BLOCK: bits of the last byte that were not used; in the last block; at the end of a block. */
const dataTypeAt = 88
const unusedBits = 7
const inLastBlock = 64
const atBlockEnd = 128

/**
 * Gzip from a point within a member, on to its end and through the members after it. The checksum of the first one cannot
 * be looked at: the caller has a digest of what goes in or of what comes out.
 * @param bits of the first byte (its highest) that belong to the stream; 0: all of it
 * @param window the output before that point, at most 32 KiB
 */
export function gunzipFrom(bits: number, window: Uint8Array): Decoder {
  const { inflateInit2, inflate, inflateEnd, inflatePrime, inflateSetDictionary, zlibVersion } = codecs()
  const stream = new Uint8Array(zStreamBytes)
  const view = new DataView(stream.buffer)
  check(inflateInit2(stream, rawWindowBits, zlibVersion(), zStreamBytes))
  let primed = bits === 0
  if (primed) check(inflateSetDictionary(stream, window, window.length))
  let trailer = 0
  let following: Decoder | undefined
  return { step, end, [Symbol.dispose]: dispose }

  function step(input: Uint8Array, output: Uint8Array): Step {
    if (following !== undefined) return following.step(input, output)
    if (trailer > 0) return skipTrailer(input)
    if (input.length === 0) return { consumed: 0, produced: 0 }
    if (!primed) return prime(input[0] as number)
    point(view, input, output)
    const code = inflate(stream, Z_NO_FLUSH)
    if (code === Z_STREAM_END) trailer = trailerBytes
    else if (code !== Z_OK && code !== Z_BUF_ERROR) throw badGzip(messageOf(view, code))
    return { consumed: input.length - view.getUint32(8, true), produced: output.length - view.getUint32(32, true) }
  }

  function prime(first: number): Step {
    check(inflatePrime(stream, bits, first >> (8 - bits)))
    check(inflateSetDictionary(stream, window, window.length))
    primed = true
    return { consumed: 1, produced: 0 }
  }

  function skipTrailer(input: Uint8Array): Step {
    const consumed = Math.min(trailer, input.length)
    trailer -= consumed
    if (trailer === 0) following = gunzip()
    return { consumed, produced: 0 }
  }

  /** A span may end anywhere. */
  function end(): void {}

  function dispose(): void {
    inflateEnd(stream)
    following?.[Symbol.dispose]()
  }

  function check(code: number): void {
    if (code !== Z_OK) throw badGzip(messageOf(view, code))
  }
}

/** A place to start at; `window` is a copy of the 32 KiB of output before it, zeros in front. */
export interface IndexPoint {
  readonly in: number
  readonly out: number
  readonly bits: number
  readonly window: Uint8Array
}

export interface GzipIndex {
  readonly points: readonly IndexPoint[]
  /** sha256 of the blob from each point to the next, in hex; where a point has bits, their byte is part of both. */
  readonly spanDigests: readonly string[]
}

export interface IndexingDecoder extends Decoder {
  /** Of everything consumed; once the blob is at its end. */
  finish(): GzipIndex
}

/**
 * Decompresses a whole gzip blob and notes a point behind each header with no output before it, and wherever a block ends
 * that is not the last of its member and lies more than `spanSize` bytes of output behind the point before. These are
 * SOCI's rules, to the byte.
 */
export function gunzipIndexing(spanSize: number): IndexingDecoder {
  const { inflateInit2, inflate, inflateReset, inflateEnd, zlibVersion } = codecs()
  const stream = new Uint8Array(zStreamBytes)
  const view = new DataView(stream.buffer)
  check(inflateInit2(stream, gzipWindowBits, zlibVersion(), zStreamBytes))
  const tail = new Tail()
  const points: IndexPoint[] = []
  const spanDigests: string[] = []
  let span: Hash | undefined
  let phase: 'first' | 'inside' | 'between' | 'padding' = 'first'
  let totalIn = 0
  let totalOut = 0
  let lastByte = 0
  return { step, end, finish, [Symbol.dispose]: () => void inflateEnd(stream) }

  function step(input: Uint8Array, output: Uint8Array): Step {
    if (input.length === 0) return { consumed: 0, produced: 0 }
    if (phase === 'between' || phase === 'padding') {
      const zeros = countZeros(input)
      if (zeros > 0) {
        phase = 'padding'
        take(input.subarray(0, zeros))
        return { consumed: zeros, produced: 0 }
      }
      if (phase === 'padding') throw badGzip('bytes follow the zero padding after its last member')
      check(inflateReset(stream))
    }
    phase = 'inside'
    point(view, input, output)
    const code = inflate(stream, Z_BLOCK)
    if (code === Z_STREAM_END) phase = 'between'
    else if (code !== Z_OK && code !== Z_BUF_ERROR) throw badGzip(messageOf(view, code))
    const consumed = input.length - view.getUint32(8, true)
    const produced = output.length - view.getUint32(32, true)
    take(input.subarray(0, consumed))
    tail.push(output.subarray(0, produced))
    totalOut += produced
    if (phase === 'inside') consider(view.getInt32(dataTypeAt, true))
    return { consumed, produced }
  }

  function take(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    span?.update(bytes)
    totalIn += bytes.length
    lastByte = bytes.at(-1) ?? 0
  }

  function consider(state: number): void {
    if ((state & atBlockEnd) === 0 || (state & inLastBlock) !== 0) return
    const last = points.at(-1)
    if (totalOut !== 0 && totalOut - (last?.out ?? 0) <= spanSize) return
    // The same place is reported again when there was no room for output or no input.
    if (last?.in === totalIn && last.out === totalOut) return
    const bits = state & unusedBits
    points.push({ in: totalIn, out: totalOut, bits, window: tail.window() })
    closeSpan()
    span = createHash('sha256')
    if (bits > 0) span.update(Uint8Array.of(lastByte))
  }

  function closeSpan(): void {
    if (span !== undefined) spanDigests.push(span.digest('hex'))
    span = undefined
  }

  function end(): void {
    if (phase === 'first') throw badGzip('it is empty')
    if (phase === 'inside') throw badGzip('it ends in the middle of a member')
  }

  function finish(): GzipIndex {
    end()
    closeSpan()
    return { points, spanDigests }
  }

  function check(code: number): void {
    if (code !== Z_OK) throw badGzip(messageOf(view, code))
  }
}

/** The last 32 KiB of what came by. */
class Tail {
  readonly #ring = Buffer.alloc(windowBytes)
  #at = 0

  push(bytes: Uint8Array): void {
    const kept = bytes.subarray(Math.max(0, bytes.length - windowBytes))
    const room = Math.min(kept.length, windowBytes - this.#at)
    this.#ring.set(kept.subarray(0, room), this.#at)
    this.#ring.set(kept.subarray(room), 0)
    this.#at = (this.#at + kept.length) % windowBytes
  }

  window(): Uint8Array {
    return Buffer.concat([this.#ring.subarray(this.#at), this.#ring.subarray(0, this.#at)])
  }
}

function point(view: DataView, input: Uint8Array, output: Uint8Array): void {
  view.setBigUint64(0, koffi.address(input), true)
  view.setUint32(8, input.length, true)
  view.setBigUint64(24, koffi.address(output), true)
  view.setUint32(32, output.length, true)
}
