/**
 * Cuts where the content says so, exactly as FastCDC in its version of 2020 does as PuzzleFS and others use it
 * (fastcdc-rs, normalization level 1), so that chunks of files cut by either are found again in those of the other.
 *
 *     gear      256 numbers of 64 bits, one for each byte: the hash of what came before, shifted, plus the byte's number
 *     a pair    hash = (hash << 2) + (gear[b0] << 1), a cut before b0 where hash & (mask << 1) is 0;
 *               hash += gear[b1], a cut before b1 where hash & mask is 0
 *     masks     one with two bits more than the other below the average length, and that other one from there on
 *     lengths   no cut within the first `min` bytes of a chunk, which are not hashed either; one at `max` in any case
 *
 * The masks have no bit above 47, so 49 bits of the hash are enough: the lower 24 in one number and the others in
 * another, which leaves room for carries and stays within what a processor does in one step.
 */
import { createHash } from 'node:crypto'
import { OnefoldError } from '../../error.ts'
import type { ChunkSink } from './rollsum.ts'

export interface FastCdcSizes {
  /** Length of the shortest chunk, but for the last of a file, in bytes; at least 64. */
  readonly min: number
  /** Average length: 16, 32, 64 or 128 KiB. */
  readonly average: number
  readonly max: number
}

/** Sizes at which PuzzleFS cuts. */
export const defaultFastCdcSizes: FastCdcSizes = { min: 16 * 1024, average: 64 * 1024, max: 256 * 1024 }

/** Number of 64 bits: the lower 24, and the 32 above them. */
interface Halves {
  readonly high: number
  readonly low: number
}

const lowBits = 24n

function halves(value: bigint): Halves {
  return { high: Number(BigInt.asIntN(32, value >> lowBits)), low: Number(BigInt.asUintN(24, value)) }
}

/** Masks by their number of bits. */
const masks: ReadonlyMap<number, bigint> = new Map([
  [13, 0x0000d90303530000n],
  [14, 0x0000d90313530000n],
  [15, 0x0000d90f03530000n],
  [16, 0x0000d90303537000n],
  [17, 0x0000d90703537000n],
  [18, 0x0000d90707537000n],
])

interface Gear {
  readonly high: Int32Array
  readonly low: Int32Array
}

let made: readonly [Gear, Gear] | undefined

/**
 * Returns the number of each byte, which is the beginning of the MD5 of 64 of it; once as it is, and once shifted by
 * one.
 */
function gears(): readonly [once: Gear, twice: Gear] {
  if (made !== undefined) return made
  const [once, twice] = [0, 1].map(() => ({ high: new Int32Array(256), low: new Int32Array(256) })) as [Gear, Gear]
  for (let byte = 0; byte < 256; byte++) {
    const number = createHash('md5').update(Buffer.alloc(64, byte)).digest().readBigUInt64BE(0)
    for (const [gear, { high, low }] of [
      [once, halves(number)],
      [twice, halves(number << 1n)],
    ] as const) {
      gear.high[byte] = high
      gear.low[byte] = low
    }
  }
  return (made = [once, twice])
}

/** Cuts a file that is written from beginning to end; throws USAGE for sizes that it has no masks for. */
export class FastCdcChunker {
  readonly #sink: Pick<ChunkSink, 'data' | 'cut'>
  /** Offset in a chunk of the first pair that is looked at. */
  readonly #start: number
  /** Offset at which the masks change. */
  readonly #center: number
  readonly #max: number
  readonly #small: bigint
  readonly #large: bigint
  #length = 0
  #high = 0
  #low = 0
  /** First byte of a pair whose second has not come yet. */
  #held: Uint8Array | undefined

  constructor(sink: Pick<ChunkSink, 'data' | 'cut'>, { min, average, max }: FastCdcSizes = defaultFastCdcSizes) {
    const bits = Math.log2(average)
    const [small, large] = [masks.get(bits + 1), masks.get(bits - 1)]
    const areSizes = [min, average, max].every(Number.isSafeInteger) && min >= 64 && min <= average && average <= max
    if (small === undefined || large === undefined || !areSizes)
      throw new OnefoldError(
        'USAGE',
        `Cannot cut chunks of ${min}, ${average} and ${max} bytes: the average is 16, 32, 64 or 128 KiB, between the others`,
      )
    this.#sink = sink
    this.#start = min - (min % 2)
    this.#center = average
    this.#max = max
    this.#small = small
    this.#large = large
  }

  write(more: Uint8Array): void {
    const bytes = this.#held === undefined ? more : Buffer.concat([this.#held, more])
    this.#held = undefined
    let from = 0
    let at = 0
    for (;;) {
      const skipped = Math.min(Math.max(0, this.#start - this.#length), bytes.length - at)
      this.#length += skipped
      at += skipped
      if (this.#length < this.#start) break
      const before = at
      at = this.#scan(bytes, at)
      const isFound = at < 0
      if (isFound) at = ~at
      this.#length += at - before
      const isCut = isFound || this.#length === this.#max
      if (!isCut) {
        // One byte is left before the longest chunk ends, or one that has no second yet.
        if (at === bytes.length || this.#length + 1 < this.#max) break
        at++
        this.#length++
      }
      this.#sink.data(bytes.subarray(from, at))
      this.#cut()
      from = at
    }
    if (at > from) this.#sink.data(bytes.subarray(from, at))
    if (at < bytes.length) this.#held = Uint8Array.from(bytes.subarray(at))
  }

  end(): void {
    if (this.#held !== undefined) {
      this.#sink.data(this.#held)
      this.#length++
      this.#held = undefined
    }
    if (this.#length > 0) this.#cut()
  }

  #cut(): void {
    this.#sink.cut()
    this.#length = this.#high = this.#low = 0
  }

  /** Looks at whole pairs; returns where it came to, with all bits turned (so below 0) for a cut there. */
  #scan(bytes: Uint8Array, start: number): number {
    const [once, twice] = gears()
    const [onceHigh, onceLow, twiceHigh, twiceLow] = [once.high, once.low, twice.high, twice.low]
    let [high, low] = [this.#high, this.#low]
    let at = start
    for (const [limit, mask] of [
      [this.#center - (this.#center % 2), this.#small],
      [this.#max - (this.#max % 2), this.#large],
    ] as const) {
      const { high: maskHigh, low: maskLow } = halves(mask)
      const { high: twiceMaskHigh, low: twiceMaskLow } = halves(mask << 1n)
      const end = Math.min(bytes.length - 1, start + limit - this.#length)
      for (; at < end; at += 2) {
        const first = bytes[at]!
        let sum = ((low << 2) + twiceLow[first]!) | 0
        high = (((high << 2) + twiceHigh[first]!) | 0) + (sum >> 24)
        low = sum & 0xffffff
        if (((high & twiceMaskHigh) | (low & twiceMaskLow)) === 0) return ~at
        const second = bytes[at + 1]!
        sum = (low + onceLow[second]!) | 0
        high = (((high + onceHigh[second]!) | 0) + (sum >> 24)) | 0
        low = sum & 0xffffff
        if (((high & maskHigh) | (low & maskLow)) === 0) return ~(at + 1)
      }
    }
    this.#high = high
    this.#low = low
    return at
  }
}
