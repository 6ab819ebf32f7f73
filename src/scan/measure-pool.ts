import { Worker } from 'node:worker_threads'
import { type ErrorMessage, unpackError } from '../transfer/import/layer-job.ts'
import { type MeasureJob, type Measured, type ScannedFile, measureFiles } from './measure-files.ts'

export type MeasureReply = { readonly measured: Measured[] } | { readonly error: ErrorMessage }

/** One job's worth: what a thread reads in a few milliseconds, and one sync of a digest store. */
const batchFiles = 256
const batchBytes = 16 << 20
const threadsMax = 64

type Done = (measured: Measured) => void

/**
 * Reads and hashes files on threads of its own while the caller goes on finding more. Threads start when there is enough for
 * them to do: a small tree is done by the calling thread before one would be ready.
 */
export class MeasurePool implements AsyncDisposable {
  readonly #threads: number
  readonly #settings: Omit<MeasureJob, 'files'>
  readonly #workers: MeasureWorker[] = []
  #batch: { readonly file: ScannedFile; readonly done: Done }[] = []
  #batchBytes = 0

  constructor(threads: number, settings: Omit<MeasureJob, 'files'>) {
    this.#threads = Math.min(threads, threadsMax)
    this.#settings = settings
  }

  /** `done` is called before `finish` has returned. */
  add(file: ScannedFile, done: Done): void {
    this.#batch.push({ file, done })
    this.#batchBytes += file.size
    if (this.#batch.length < batchFiles && this.#batchBytes < batchBytes) return
    if (this.#threads > 1) this.#idlest().give(this.#take())
    else this.#measureHere()
  }

  /** Waits for everything added; rejects with the first error. */
  async finish(): Promise<void> {
    this.#measureHere()
    await Promise.all(this.#workers.map((worker) => worker.idle()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end()))
  }

  #measureHere(): void {
    const { job, settle } = this.#take()
    if (job.files.length > 0) settle(measureFiles(job))
  }

  /** Jobs cannot be handed on once they are given away, so bytes are counted beforehand. */
  #idlest(): MeasureWorker {
    if (this.#workers.length < this.#threads) this.#workers.push(new MeasureWorker())
    return this.#workers.reduce((least, worker) => (worker.load < least.load ? worker : least))
  }

  #take(): Work {
    const batch = this.#batch
    const bytes = this.#batchBytes
    this.#batch = []
    this.#batchBytes = 0
    const job: MeasureJob = { files: batch.map(({ file }) => file), ...this.#settings }
    // A file costs about what 16 KiB of bytes do.
    return {
      job,
      load: bytes + batch.length * 16384,
      settle: (measured) => batch.forEach(({ done }, i) => done(measured[i] as Measured)),
    }
  }
}

interface Work {
  readonly job: MeasureJob
  readonly load: number
  readonly settle: (measured: readonly Measured[]) => void
}

class MeasureWorker {
  /** All that it was ever given. */
  load = 0
  readonly #worker = startThread()
  readonly #pending: Work[] = []
  #failure: Error | undefined
  #wake: (() => void) | undefined

  constructor() {
    this.#worker.on('message', (reply: MeasureReply) => this.#settle(reply))
    this.#worker.on('error', (error) => this.#fail(error instanceof Error ? error : new Error(String(error))))
  }

  give(work: Work): void {
    this.load += work.load
    this.#pending.push(work)
    this.#worker.postMessage(work.job)
  }

  async idle(): Promise<void> {
    if (this.#pending.length > 0 && this.#failure === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve))
    if (this.#failure !== undefined) throw this.#failure
  }

  async end(): Promise<void> {
    await this.#worker.terminate()
  }

  #settle(reply: MeasureReply): void {
    if ('error' in reply) return this.#fail(unpackError(reply.error))
    this.#pending.shift()?.settle(reply.measured)
    if (this.#pending.length === 0) this.#wake?.()
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wake?.()
  }
}

function startThread(): Worker {
  const extension = import.meta.filename.endsWith('.ts') ? 'ts' : 'js'
  return new Worker(new URL(`./measure-thread.${extension}`, import.meta.url))
}
