import type { Worker } from 'node:worker_threads'
import { type ThreadReply, resultOf } from './reply.ts'

/** A thread that answers jobs, one at a time, in the order it was given them. It runs until it is disposed of. */
export class Thread<Job, Result> implements AsyncDisposable {
  readonly #worker: Worker
  readonly #waiting: Waiting<Result>[] = []
  #load = 0
  #end: { readonly why: unknown } | undefined

  constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (reply: ThreadReply<Result>) => this.#settle(reply))
    worker.on('messageerror', (error) => this.fail(error))
    worker.on('error', (error) => this.fail(error))
    worker.on('exit', (code) => this.fail(new Error(`a thread stopped with exit code ${code}`)))
  }

  /** Weight of the jobs that have not been answered yet. */
  get load(): number {
    return this.#load
  }

  /** Returns the answer to a job; rejects with what the job threw, or with the reason why the thread stopped. */
  async ask(job: Job, load = 1): Promise<Result> {
    if (this.#end !== undefined) throw this.#end.why
    this.#worker.postMessage(job)
    const { promise, resolve, reject } = Promise.withResolvers<Result>()
    this.#waiting.push({ load, resolve, reject })
    this.#load += load
    return await promise
  }

  /** Rejects everything that waits, and everything that will be asked; the job under way goes on. */
  fail(why: unknown): void {
    this.#end ??= { why }
    this.#load = 0
    for (const { reject } of this.#waiting.splice(0)) reject(why)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.fail(new Error('the thread was ended'))
    await this.#worker.terminate()
  }

  #settle(reply: ThreadReply<Result>): void {
    const next = this.#waiting.shift()
    if (next === undefined) return
    this.#load -= next.load
    try {
      next.resolve(resultOf(reply))
    } catch (error) {
      next.reject(error)
    }
  }
}

interface Waiting<Result> {
  readonly load: number
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}
