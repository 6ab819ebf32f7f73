import { Pending } from '../threads/pending.ts'
import { ThreadPool, threadCount } from '../threads/pool.ts'
import { startThread } from '../threads/start.ts'
import { type MeasureJob, type Measured, type ScannedFile, measureFiles } from './measure-files.ts'
import { ScanError, type ScanFailure } from './scan-error.ts'

/** Size of one job: what a thread reads in a few milliseconds, and one sync of a digest store. */
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
  readonly #pool: ThreadPool<MeasureJob, Measured[] | ScanFailure>
  readonly #pending = new Pending()
  #batch: { readonly file: ScannedFile; readonly done: Done }[] = []
  #batchBytes = 0

  constructor(threads: number, settings: Omit<MeasureJob, 'files'>) {
    this.#threads = threadCount(threadsMax, threads)
    this.#settings = settings
    this.#pool = new ThreadPool(() => startThread('measure-thread', import.meta.url), { threads: this.#threads })
  }

  /** `done` is called before `finish` has returned. */
  add(file: ScannedFile, done: Done): void {
    this.#batch.push({ file, done })
    this.#batchBytes += file.size
    if (this.#batch.length < batchFiles && this.#batchBytes < batchBytes) return
    if (this.#threads > 1) this.#give(this.#take())
    else this.#measureOnThisThread()
  }

  /** Waits for everything added; rejects with the first error. */
  async finish(): Promise<void> {
    this.#measureOnThisThread()
    await this.#pending.until(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]()
  }

  #measureOnThisThread(): void {
    const { job, settle } = this.#take()
    if (job.files.length > 0) settle(measureFiles(job))
  }

  #give({ job, load, settle }: Work): void {
    this.#pending.add(
      this.#pool.run(job, load).then((answer) => {
        if ('errno' in answer) throw new ScanError(answer)
        settle(answer)
      }),
    )
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
  /** About how long it takes: jobs cannot be handed on once a thread has them. */
  readonly load: number
  readonly settle: (measured: readonly Measured[]) => void
}
