import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { type ThreadReply, unpackError } from '../transfer/import/layer-job.ts'

const threadsMax = 16

/** How many threads compress, unless told otherwise. */
export function threadCount(threads = availableParallelism()): number {
  return Math.max(1, Math.min(threads, threadsMax))
}

/** Threads that run one module, started when there is work for them. Each answers jobs in the order it was given them. */
export class ThreadPool<Job, Result> implements AsyncDisposable {
  readonly #module: URL
  readonly #threads: number
  readonly #workers: Thread<Job, Result>[] = []
  #isOver = false

  /** @param module without its extension, which is another one when the package is built */
  constructor(module: URL, threads: number) {
    this.#module = new URL(`${module.href}.${import.meta.filename.endsWith('.ts') ? 'ts' : 'js'}`)
    this.#threads = threads
  }

  /** By the idlest thread. What is asked for too late is rejected, or it would start a thread that nobody ends. */
  run(job: Job): Promise<Result> {
    if (this.#isOver) return Promise.reject(new Error('the compressing threads have ended'))
    let idlest = this.#workers[0]
    for (const worker of this.#workers) if (worker.waiting < (idlest?.waiting ?? 0)) idlest = worker
    if (idlest === undefined || (idlest.waiting > 0 && this.#workers.length < this.#threads)) {
      idlest = new Thread(this.#module)
      this.#workers.push(idlest)
    }
    return idlest.run(job)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#workers.map((worker) => worker[Symbol.asyncDispose]()))
  }
}

class Thread<Job, Result> implements AsyncDisposable {
  readonly #worker: Worker
  readonly #waiting: PromiseWithResolvers<Result>[] = []

  constructor(module: URL) {
    this.#worker = new Worker(module)
    this.#worker.on('message', (reply: ThreadReply<Result>) => {
      const next = this.#waiting.shift()
      if (reply.kind === 'done') next?.resolve(reply.result)
      else next?.reject(reply.kind === 'failed' ? unpackError(reply.error) : new Error('a thread gave up'))
    })
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', (code) => this.#fail(new Error(`a compressing thread stopped with exit code ${code}`)))
  }

  get waiting(): number {
    return this.#waiting.length
  }

  run(job: Job): Promise<Result> {
    const reply = Promise.withResolvers<Result>()
    this.#waiting.push(reply)
    this.#worker.postMessage(job)
    return reply.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
