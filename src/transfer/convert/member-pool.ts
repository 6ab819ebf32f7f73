import type { MemberCoding } from '../../codecs/coding.ts'
import { ThreadPool, threadCount } from '../../threads/pool.ts'
import { startThread } from '../../threads/start.ts'
import { type Batch, type CompressedBatch, placesOf } from './batch.ts'

/** Bytes at which a batch is sent off; earlier when nothing more comes before the event loop turns. */
const batchBytes = 256 * 1024
const threadsMax = 16

/** Memory may be so many times larger than the batch that takes it. */
const sizeRatioMax = 16
const memoryBytesMin = 1024 * 1024

/** Compresses gzip members or zstd frames on threads; the same bytes for the same member on any number of them. */
export class MemberPool implements AsyncDisposable {
  readonly #coding: MemberCoding
  readonly #level: number
  readonly #threads: ThreadPool<Batch, CompressedBatch>
  #waiting: Waiting[] = []
  #bytes = 0
  /** Memory of batches that are done: shared memory is given back late, and would pile up. */
  readonly #free: Uint8Array[] = []

  constructor(coding: MemberCoding, level: number, threads?: number) {
    this.#coding = coding
    this.#level = level
    this.#threads = new ThreadPool(() => startThread('member-thread', import.meta.url), {
      threads: threadCount(threadsMax, threads),
    })
  }

  /** Compresses a member. Its bytes must stay as they are until the result is there. */
  compress(bytes: Uint8Array): Promise<Uint8Array> {
    const result = Promise.withResolvers<Uint8Array>()
    if (this.#waiting.length === 0) setImmediate(() => this.#send())
    this.#waiting.push({ bytes, result })
    this.#bytes += bytes.length
    if (this.#bytes >= batchBytes) this.#send()
    return result.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#threads[Symbol.asyncDispose]()
  }

  #send(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    this.#bytes = 0
    void this.#run(waiting)
  }

  async #run(waiting: readonly Waiting[]): Promise<void> {
    const lengths = waiting.map(({ bytes }) => bytes.length)
    const { inputs, outputs, size } = placesOf(lengths)
    const memory = this.#take(size)
    for (const [i, { bytes }] of waiting.entries()) memory.set(bytes, inputs[i])
    try {
      const done = await this.#threads.run({ memory, lengths, coding: this.#coding, level: this.#level })
      for (const [i, { result }] of waiting.entries()) {
        const from = outputs[i] ?? 0
        result.resolve(memory.slice(from, from + (done.lengths[i] ?? 0)))
      }
      this.#free.push(memory)
    } catch (error) {
      // A thread may still be writing to it: it is not used again.
      for (const { result } of waiting) result.reject(error)
    }
  }

  #take(size: number): Uint8Array {
    const index = this.#free.findIndex(
      ({ length }) => length >= size && length <= Math.max(memoryBytesMin, size * sizeRatioMax),
    )
    if (index >= 0) return this.#free.splice(index, 1)[0]!
    // Nobody fits a larger batch into these again.
    this.#free.length = 0
    return new Uint8Array(new SharedArrayBuffer(Math.max(memoryBytesMin, 2 ** Math.ceil(Math.log2(size)))))
  }
}

interface Waiting {
  readonly bytes: Uint8Array
  readonly result: PromiseWithResolvers<Uint8Array>
}
