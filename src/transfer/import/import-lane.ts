import type { StagingPlace } from '../../store/transaction/staging.ts'
import { Ring, RingAborted, ringMemory } from '../../threads/ring.ts'
import { startThread } from '../../threads/start.ts'
import { Thread } from '../../threads/thread.ts'
import type { LaneSetup, LayerJob, LayerResult } from './layer-job.ts'

/** Slots of the ring between the threads of a lane that has two. */
const inflatedSlots = 8
const inflatedSlotBytes = 1024 * 1024
const fetchedSlots = 8
const fetchedSlotBytes = 256 * 1024

/**
 * Imports one layer at a time. With two threads one inflates and checks blob and diffID, the other hashes files and
 * stages objects, and they meet in shared memory: a layer is imported in half the time. With one thread nothing has to
 * be handed over, which is less work in all: right when there are other layers for the other cores. The main thread
 * only feeds bytes that come from the network.
 */
export class Lane implements AsyncDisposable {
  readonly #inflated: Ring
  readonly #fetched: Ring
  readonly #progress = new BigInt64Array(new SharedArrayBuffer(8))
  readonly #inflater: Thread<LayerJob, void> | undefined
  readonly #importer: Thread<LayerJob, LayerResult>

  constructor(place: StagingPlace, threads: 1 | 2) {
    const inflated = ringMemory(threads === 1 ? 1 : inflatedSlots, inflatedSlotBytes)
    const fetched = ringMemory(fetchedSlots, fetchedSlotBytes)
    this.#inflated = new Ring(inflated)
    this.#fetched = new Ring(fetched)
    const progress = this.#progress.buffer
    const setup: LaneSetup = { threads, inflated, fetched, progress, place }
    this.#inflater = threads === 1 ? undefined : new Thread(startThread('inflate-thread', import.meta.url, setup))
    this.#importer = new Thread(startThread('import-thread', import.meta.url, setup))
  }

  /** Number of bytes of the current blob that have been taken in. */
  get blobBytes(): number {
    return Number(Atomics.load(this.#progress, 0))
  }

  /** @param feed the blob's bytes, when `job.file` does not say where to read them */
  async import(job: LayerJob, feed: AsyncIterable<Uint8Array> | undefined, signal?: AbortSignal): Promise<LayerResult> {
    signal?.throwIfAborted()
    this.#inflated.reset()
    this.#fetched.reset()
    Atomics.store(this.#progress, 0, 0n)
    const stop = () => this.#abort()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const results = await Promise.allSettled([
        this.#inflater && this.#ask(this.#inflater, job),
        this.#ask(this.#importer, job),
        feed === undefined ? undefined : this.#feed(feed),
      ])
      signal?.throwIfAborted()
      const [inflated, imported] = results
      const failure = results.find((result) => result.status === 'rejected' && !(result.reason instanceof RingAborted))
      if (failure?.status === 'rejected') throw failure.reason
      if (inflated.status === 'rejected') throw inflated.reason
      if (imported.status === 'rejected') throw imported.reason
      return imported.value
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /**
   * Has a thread do the job. A thread that dies does not end its rings, so this does: the other side would wait there
   * for ever.
   */
  async #ask<Result>(thread: Thread<LayerJob, Result>, job: LayerJob): Promise<Result> {
    try {
      return await thread.ask(job)
    } catch (error) {
      this.#abort()
      throw error
    }
  }

  async #feed(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      let slot: Uint8Array | undefined
      let used = 0
      for await (const chunk of bytes) {
        for (let rest = chunk; rest.length > 0;) {
          slot ??= await this.#fetched.claimAsync()
          const piece = rest.subarray(0, slot.length - used)
          slot.set(piece, used)
          used += piece.length
          rest = rest.subarray(piece.length)
          if (used < slot.length) continue
          this.#fetched.publish(used)
          slot = undefined
          used = 0
        }
      }
      if (used > 0) this.#fetched.publish(used)
      this.#fetched.end('done')
    } catch (error) {
      this.#abort()
      throw error
    }
  }

  #abort(): void {
    this.#fetched.end('aborted')
    this.#inflated.end('aborted')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort()
    await Promise.all([this.#inflater?.[Symbol.asyncDispose](), this.#importer[Symbol.asyncDispose]()])
  }
}
