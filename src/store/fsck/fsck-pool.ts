import { availableParallelism } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { type Answer, type Job, examine } from './examine.ts'

const threadsMax = 8
/** One job being done, one waiting: a thread never waits for the main one. */
const jobsPerThread = 2
/** Starting threads takes 40 ms; what is done sooner is done here. */
const hereBytes = 32 * 1024 * 1024
const hereJobs = 4

/** Does jobs on threads of its own. At most a few are on their way at a time, so that memory does not grow with the store. */
export class Pool implements AsyncDisposable {
  readonly #signal: AbortSignal | undefined
  readonly #threads: Thread[] = []
  readonly #size = Math.min(availableParallelism(), threadsMax)
  #doneHere = 0
  #bytesHere = 0

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
  }

  /**
   * Returns when there is room for another job; `done` is called sooner or later, before finish() has returned. Rejects
   * with what went wrong in any job.
   */
  async give(job: Job, done: (answer: Answer) => void): Promise<void> {
    this.#signal?.throwIfAborted()
    if (this.#threads.length === 0 && this.#doneHere < hereJobs && this.#bytesHere < hereBytes) {
      await nextTurn()
      const answer = examine(job)
      this.#doneHere++
      this.#bytesHere += answer.bytes
      return done(answer)
    }
    const thread = this.#idlest()
    thread.give(job, done)
    while (this.#threads.length === this.#size && this.#threads.every(({ waiting }) => waiting >= jobsPerThread))
      await this.#change()
  }

  /** Waits for all jobs. */
  async finish(): Promise<void> {
    while (this.#threads.some(({ waiting }) => waiting > 0)) await this.#change()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()))
  }

  async #change(): Promise<void> {
    await Promise.race(this.#threads.filter(({ waiting }) => waiting > 0).map((thread) => thread.change()))
    this.#signal?.throwIfAborted()
  }

  #idlest(): Thread {
    const idlest = this.#threads.toSorted((a, b) => a.waiting - b.waiting)[0]
    if (idlest !== undefined && (idlest.waiting === 0 || this.#threads.length === this.#size)) return idlest
    const thread = new Thread()
    this.#threads.push(thread)
    return thread
  }
}

class Thread {
  readonly #worker: Worker
  readonly #pending: ((answer: Answer) => void)[] = []
  #change = Promise.withResolvers<void>()

  constructor() {
    const extension = import.meta.filename.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./fsck-thread.${extension}`, import.meta.url))
    // Who waits hears of a failure; that nobody may be waiting must not end the process.
    this.#change.promise.catch(() => {})
    this.#worker.on('message', (answer: Answer) => this.#settle(answer))
    this.#worker.on('error', (error) => this.#change.reject(error))
  }

  get waiting(): number {
    return this.#pending.length
  }

  give(job: Job, done: (answer: Answer) => void): void {
    this.#pending.push(done)
    this.#worker.postMessage(job)
  }

  /** The next answer, or failure. */
  async change(): Promise<void> {
    await this.#change.promise
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }

  #settle(answer: Answer): void {
    const { resolve } = this.#change
    try {
      this.#pending.shift()?.(answer)
    } catch (error) {
      return this.#change.reject(error)
    }
    this.#change = Promise.withResolvers()
    this.#change.promise.catch(() => {})
    resolve()
  }
}
