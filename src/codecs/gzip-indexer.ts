import { type Hash, createHash } from 'node:crypto'
import type { GzipIndex, IndexPoint, IndexingDecoder, Step } from './codec.ts'
import { GzipDecoder } from './gzip-decoder.ts'
import { type Zlib, nativeZlib } from './native.ts'

const windowBytes = 32_768
/** Bits of z_stream.data_type after Z_BLOCK: how many bits of the last byte were not used. */
const unusedBits = 7
const inLastBlock = 64
const atBlockEnd = 128

/**
 * Decodes a whole gzip blob and notes where a GzipSpanDecoder could start: behind each header with no output before it,
 * and wherever a block ends that is not the last of its member and lies more than `spanSize` bytes of output behind the
 * point before. These are SOCI's rules, to the byte.
 */
export class GzipIndexer implements IndexingDecoder {
  readonly #members: GzipDecoder
  readonly #spanSize: number
  readonly #spans = new Spans()
  readonly #tail = new Tail()
  readonly #points: IndexPoint[] = []
  #totalIn = 0
  #totalOut = 0

  constructor(spanSize: number, functions: Zlib = nativeZlib.any()) {
    this.#members = new GzipDecoder(functions, true)
    this.#spanSize = spanSize
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    const step = this.#members.step(input, output)
    this.#spans.update(input.subarray(0, step.consumed))
    this.#tail.push(output.subarray(0, step.produced))
    this.#totalIn += step.consumed
    this.#totalOut += step.produced
    if (input.length > 0) this.#considerPoint(this.#members.dataType)
    return step
  }

  end(): void {
    this.#members.end()
  }

  finish(): GzipIndex {
    this.end()
    return { points: this.#points, spanDigests: this.#spans.finish() }
  }

  [Symbol.dispose](): void {
    this.#members[Symbol.dispose]()
  }

  #considerPoint(dataType = 0): void {
    if ((dataType & atBlockEnd) === 0 || (dataType & inLastBlock) !== 0) return
    const last = this.#points.at(-1)
    if (this.#totalOut !== 0 && this.#totalOut - (last?.out ?? 0) <= this.#spanSize) return
    // The same place is reported again when there was no room for output or no input.
    if (last?.in === this.#totalIn && last.out === this.#totalOut) return
    const bits = dataType & unusedBits
    this.#points.push({ in: this.#totalIn, out: this.#totalOut, bits, window: this.#tail.window() })
    this.#spans.begin(bits > 0)
  }
}

/** Digests of the bytes consumed from one point to the next; those before the first point are part of none. */
class Spans {
  readonly #digests: string[] = []
  #span: Hash | undefined
  #lastByte = 0

  update(bytes: Uint8Array): void {
    this.#span?.update(bytes)
    this.#lastByte = bytes.at(-1) ?? this.#lastByte
  }

  /** @param sharesByte whether the last byte consumed belongs to the new span too */
  begin(sharesByte: boolean): void {
    this.#close()
    this.#span = createHash('sha256')
    if (sharesByte) this.#span.update(Uint8Array.of(this.#lastByte))
  }

  finish(): readonly string[] {
    this.#close()
    return this.#digests
  }

  #close(): void {
    if (this.#span !== undefined) this.#digests.push(this.#span.digest('hex'))
    this.#span = undefined
  }
}

/** Ring buffer of the last 32 KiB of output. */
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
