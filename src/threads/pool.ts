import { availableParallelism } from 'node:os'
import type { Worker } from 'node:worker_threads'
import { Thread } from './thread.ts'

/** Number of threads to start: as many as wanted, or as there are cores; at least one and at most `most`. */
export function threadCount(most: number, wanted = availableParallelism()): number {
  return Math.max(1, Math.min(wanted, most))
}

export interface PoolOptions {
  readonly threads: number
  /** Signal that ends all work: jobs that wait are rejected with its reason, and so are later ones. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Pool of threads that answer jobs, each in the order it was given them. A thread is started when a job comes and all
 * others are busy. Nothing starts after the pool was disposed of, and nothing of it keeps the process alive.
 */
export class ThreadPool<Job, Result> implements AsyncDisposable {
  readonly #start: () => Worker
  readonly #options: PoolOptions
  readonly #threads: Thread<Job, Result>[] = []
  readonly #abort = (): void => {
    for (const thread of this.#threads) thread.fail(this.#options.signal?.reason)
  }
  #isOver = false

  constructor(start: () => Worker, options: PoolOptions) {
    this.#start = start
    this.#options = options
    options.signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /**
   * Has the job done by the thread with the least to do.
   * @param load weight of the job, beside the others
   */
  async run(job: Job, load = 1): Promise<Result> {
    this.#options.signal?.throwIfAborted()
    if (this.#isOver) throw new Error('the threads were ended')
    return await this.#idlest().ask(job, load)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    this.#options.signal?.removeEventListener('abort', this.#abort)
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()))
  }

  #idlest(): Thread<Job, Result> {
    let idlest = this.#threads[0]
    for (const thread of this.#threads) if (thread.load < (idlest?.load ?? 0)) idlest = thread
    if (idlest !== undefined && (idlest.load === 0 || this.#threads.length >= this.#options.threads)) return idlest
    const thread = new Thread<Job, Result>(this.#start())
    this.#threads.push(thread)
    return thread
  }
}
