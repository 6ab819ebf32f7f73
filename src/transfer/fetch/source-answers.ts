import type { Answers } from '../../content/drive-reading.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { Artifact, Related } from '../../formats/reading.ts'
import type { Source } from '../../sources/source.ts'

/** Cost of reading an index. */
export interface IndexCost {
  readonly bytes: number
  readonly requests: number
}

export const noCost: IndexCost = { bytes: 0, requests: 0 }

/**
 * Share of the blob that is read with its footer: that says where its table begins, and the table may be in there
 * already.
 */
const tailShare = 1 / 64
const tailMin = 8 * 1024
const tailMax = 256 * 1024

/** Answers what the readers of formats ask for, from the source that the image is pulled from. */
export class SourceAnswers implements Answers {
  readonly #source: Source
  readonly #signal: AbortSignal | undefined
  /** Ends of blobs, kept so that the next question may find its answer there. */
  readonly #tails = new Map<Descriptor, { readonly start: number; readonly bytes: Uint8Array }>()
  #cost: IndexCost = noCost

  constructor(source: Source, signal: AbortSignal | undefined) {
    this.#source = source
    this.#signal = signal
  }

  /** Bytes and requests of everything that was asked for so far; documents are not counted. */
  get cost(): IndexCost {
    return this.#cost
  }

  async related(related: Related): Promise<Artifact | undefined> {
    return await this.#source.related?.(related, { signal: this.#signal })
  }

  async range(blob: Descriptor, start: number, end: number): Promise<Uint8Array> {
    const tail = this.#tails.get(blob)
    if (tail !== undefined && start >= tail.start) return tail.bytes.subarray(start - tail.start, end - tail.start)
    if (end === blob.size) return await this.#readTail(blob, start)
    // What is known of the end need not come again.
    if (tail === undefined || end <= tail.start) return await this.#fetch(blob, start, end)
    const before = await this.#fetch(blob, start, tail.start)
    return Buffer.concat([before, tail.bytes.subarray(0, end - tail.start)])
  }

  async #readTail(blob: Descriptor, start: number): Promise<Uint8Array> {
    const guess = Math.min(tailMax, Math.max(tailMin, Math.round(blob.size * tailShare)))
    const from = Math.max(0, Math.min(start, blob.size - guess))
    const bytes = await this.#fetch(blob, from, blob.size)
    this.#tails.set(blob, { start: from, bytes })
    return bytes.subarray(start - from)
  }

  async #fetch(blob: Descriptor, start: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start)
    let filled = 0
    for await (const chunk of this.#source.blob(blob, { offset: start, end, exact: true, signal: this.#signal })) {
      bytes.set(chunk, filled)
      filled += chunk.length
    }
    this.#cost = { bytes: this.#cost.bytes + bytes.length, requests: this.#cost.requests + 1 }
    return bytes
  }
}
