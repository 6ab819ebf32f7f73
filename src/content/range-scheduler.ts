import type { Descriptor } from '../formats/oci/descriptor.ts'
import type { BlobPart, RangeSource } from './range-source.ts'

/**
 * Number of answers that may be under way or waiting to be taken: together with the largest request, it bounds a
 * scheduler's memory.
 */
const aheadMax = 8

/** Bytes `start` to `end` of a blob. */
export interface BlobRange {
  readonly blob: Descriptor
  readonly start: number
  readonly end: number
}

export interface SchedulerOptions {
  /** Reads a range, passing on each chunk as it comes, which is good until the next. */
  readonly read: (range: BlobRange, signal: AbortSignal) => AsyncIterable<Uint8Array>
  readonly signal: AbortSignal | undefined
  /** Called for bytes as they come. */
  readonly onBytes?: (blob: Descriptor, bytes: number) => void
}

interface Planned extends BlobRange {
  answer: Promise<Uint8Array> | undefined
}

/**
 * Requests planned ranges in their order, several at a time, and hands out their bytes when asked for them. Ranges of
 * all layers stand in one queue, so that the next layer's are on their way while one is taken apart. A range that was
 * not planned, or was taken before, is requested when it is wanted: reading in another order costs requests, and
 * nothing else.
 */
export class RangeScheduler implements RangeSource, Disposable {
  readonly #options: SchedulerOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #planned: Planned[]

  constructor(ranges: readonly BlobRange[], options: SchedulerOptions) {
    this.#options = options
    this.#planned = ranges.map((range) => ({ ...range, answer: undefined }))
    const { signal } = options
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal])
  }

  async fetch(blob: Descriptor, at: number, end: number): Promise<BlobPart> {
    const item = this.#planned.find((range) => range.blob === blob && at >= range.start && at < range.end)
    if (item === undefined) return { start: at, bytes: await this.#read({ blob, start: at, end }) }
    this.#startSome()
    item.answer ??= this.#begin(item)
    const bytes = await item.answer
    this.#planned = this.#planned.filter((range) => range !== item)
    this.#startSome()
    return { start: item.start, bytes }
  }

  /** Drops what was planned of a blob: nothing more of it is wanted. */
  drop(blob: Descriptor): void {
    this.#planned = this.#planned.filter((range) => range.blob !== blob)
  }

  [Symbol.dispose](): void {
    this.#planned = []
    this.#stop.abort()
  }

  #startSome(): void {
    for (const item of this.#planned.slice(0, aheadMax)) item.answer ??= this.#begin(item)
  }

  #begin(range: BlobRange): Promise<Uint8Array> {
    const answer = this.#read(range)
    // A failure is heard by who awaits the answer, and by nobody when nobody does any more.
    answer.catch(() => undefined)
    return answer
  }

  async #read(range: BlobRange): Promise<Uint8Array> {
    const bytes = new Uint8Array(range.end - range.start)
    let filled = 0
    for await (const chunk of this.#options.read(range, this.#signal)) {
      bytes.set(chunk, filled)
      filled += chunk.length
      this.#options.onBytes?.(range.blob, chunk.length)
    }
    return bytes
  }
}
