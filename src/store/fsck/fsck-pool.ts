import { setImmediate as nextTurn } from 'node:timers/promises'
import { Pending } from '../../threads/pending.ts'
import { ThreadPool, threadCount } from '../../threads/pool.ts'
import { startThread } from '../../threads/start.ts'
import { type Answer, type Job, examine } from './examine.ts'

const threadsMax = 8
/** Jobs of a thread: one being done, one waiting, so that it never waits for the main one. */
const jobsPerThread = 2
/** Work that is done in this thread: starting others takes 40 ms. */
const hereBytes = 32 * 1024 * 1024
const hereJobs = 4

/**
 * Does jobs on threads of its own. At most a few are on their way at a time, so that memory does not grow with the
 * store.
 */
export class Pool implements AsyncDisposable {
  readonly #signal: AbortSignal | undefined
  readonly #threads = threadCount(threadsMax)
  readonly #pool: ThreadPool<Job, Answer>
  readonly #pending = new Pending()
  #doneHere = 0
  #bytesHere = 0

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    this.#pool = new ThreadPool(() => startThread('fsck-thread', import.meta.url), { threads: this.#threads, signal })
  }

  /**
   * Returns when there is room for another job; `done` is called sooner or later, before finish() has returned. Rejects
   * with what went wrong in any job.
   */
  async give(job: Job, done: (answer: Answer) => void): Promise<void> {
    this.#signal?.throwIfAborted()
    if (this.#doneHere < hereJobs && this.#bytesHere < hereBytes) return await this.#doHere(job, done)
    this.#pending.add(this.#pool.run(job).then(done))
    await this.#pending.until(this.#threads * jobsPerThread - 1)
  }

  /** Waits for all jobs. */
  async finish(): Promise<void> {
    await this.#pending.until(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]()
  }

  async #doHere(job: Job, done: (answer: Answer) => void): Promise<void> {
    await nextTurn()
    const answer = examine(job)
    this.#doneHere++
    this.#bytesHere += answer.bytes
    done(answer)
  }
}
