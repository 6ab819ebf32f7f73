import type { ContentIndex, Extent } from '../formats/content-index.ts'

/** Bytes `start` to `end` of a blob. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

/**
 * Number of bytes that may be decoded more than once, beyond those that are wanted: an honest index leads through its
 * blobs once.
 */
const repeatedMax = 64 * 2 ** 20

/**
 * Follows extents through the units as a reader will: on from where the last read of a unit ended, or from its
 * beginning again. A hostile table could have every byte of a large unit decoded for each byte that it wants.
 */
export class UnitWalk {
  /** Reason why the extents cannot be read at all. */
  refused: string | undefined
  decodedBytes = 0
  readonly #index: ContentIndex
  /** Number of bytes of each unit that have been decoded at most. */
  readonly #reached = new Map<number, number>()
  #repeatedBytes = 0
  #unit = -1
  /** Offset where the last extent ended, in what the unit decodes to. */
  #within = 0

  constructor(index: ContentIndex) {
    this.#index = index
  }

  /** Follows the next extent that will be read; holes lie nowhere. */
  visit({ unit, skip, length }: Extent): void {
    if (unit === undefined) return
    if (unit !== this.#unit || skip < this.#within) this.#begin(unit)
    const end = skip + length
    const reached = this.#reached.get(unit) ?? 0
    this.decodedBytes += end - this.#within
    this.#repeatedBytes += Math.max(0, Math.min(reached, end) - this.#within)
    this.#reached.set(unit, Math.max(reached, end))
    this.#within = end
  }

  /** Tells whether so much would be decoded again and again that the bytes that are wanted are not worth it. */
  isScattered(wantedBytes: number): boolean {
    return this.#repeatedBytes > wantedBytes + repeatedMax
  }

  /** Returns the units that are needed, for each blob in the order in which they lie there. */
  spans(): ByteSpan[][] {
    const spans: ByteSpan[][] = this.#index.blobs.map(() => [])
    for (const number of this.#reached.keys()) {
      const unit = this.#index.units[number]
      if (unit !== undefined) spans[unit.blob]?.push({ start: unit.start, end: unit.end })
    }
    return spans.map((ofBlob) => ofBlob.toSorted((a, b) => a.start - b.start || a.end - b.end))
  }

  #begin(number: number): void {
    this.#unit = number
    this.#within = 0
    const unit = this.#index.units[number]
    const blob = unit && this.#index.blobs[unit.blob]
    if (unit === undefined || blob === undefined || unit.start < 0 || unit.end <= unit.start || unit.end > blob.size)
      this.refused ??= 'it names bytes that the blob does not have'
  }
}
