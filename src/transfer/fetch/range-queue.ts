import type { Descriptor } from '../../formats/entry.ts'
import type { Source } from '../../sources/source.ts'
import type { ByteSpan } from './join-ranges.ts'

/** Answers under way or waiting to be taken: with the largest request, what this may take of memory. */
const aheadMax = 8

export interface RangeRequest {
  readonly blob: Descriptor
  readonly span: ByteSpan
}

export interface Fetched {
  /** Of the first byte, in the blob. */
  readonly start: number
  readonly bytes: Uint8Array
}

interface Item extends RangeRequest {
  answer: Promise<Uint8Array> | undefined
}

/**
 * Asks for ranges in order, several at a time, and hands out their bytes in the same order. Ranges of all layers stand in
 * one line, so that the next layer's are on their way while one is taken apart.
 */
export class Prefetch implements Disposable {
  readonly #source: Source
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #onBytes: (blob: Descriptor, bytes: number) => void
  #queue: Item[]

  constructor(
    source: Source,
    requests: readonly RangeRequest[],
    options: { signal: AbortSignal | undefined; onBytes: (blob: Descriptor, bytes: number) => void },
  ) {
    this.#source = source
    this.#queue = requests.map((request) => ({ ...request, answer: undefined }))
    const { signal } = options
    this.#signal = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal])
    this.#onBytes = options.onBytes
  }

  /** The next range of this blob; undefined when there are no more. */
  async next(blob: Descriptor): Promise<Fetched | undefined> {
    const item = this.#queue.find((candidate) => candidate.blob === blob)
    if (item === undefined) return undefined
    this.#startSome()
    item.answer ??= this.#fetch(item)
    const bytes = await item.answer
    this.#queue.splice(this.#queue.indexOf(item), 1)
    this.#startSome()
    return { start: item.span.start, bytes }
  }

  /** Nothing more of this blob is wanted. */
  drop(blob: Descriptor): void {
    this.#queue = this.#queue.filter((item) => item.blob !== blob)
  }

  [Symbol.dispose](): void {
    this.#queue = []
    this.#stop.abort()
  }

  #startSome(): void {
    for (const item of this.#queue.slice(0, aheadMax)) item.answer ??= this.#fetch(item)
  }

  #fetch(item: Item): Promise<Uint8Array> {
    const answer = this.#read(item)
    // Who waits for it hears of it; who no longer does need not.
    answer.catch(() => undefined)
    return answer
  }

  async #read({ blob, span: { start, end } }: Item): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start)
    let filled = 0
    const options = { offset: start, end, exact: true, lent: true, signal: this.#signal }
    for await (const chunk of this.#source.blob(blob, options)) {
      bytes.set(chunk, filled)
      filled += chunk.length
      this.#onBytes(blob, chunk.length)
    }
    return bytes
  }
}
