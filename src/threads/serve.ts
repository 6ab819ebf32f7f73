import { type Transferable, parentPort } from 'node:worker_threads'
import { type ThreadReply, failureReply } from './reply.ts'

export interface ServeOptions<Result> {
  /** Makes the other side of every ring stop as well, when a job has failed. */
  readonly giveUp?: () => void
  /** Returns the memory of a result that is handed over instead of copied. */
  readonly transfer?: (result: Result) => Transferable[]
}

/** Makes this thread answer jobs, one at a time. Whatever a job throws becomes its answer. */
export function serveThread<Job, Result>(work: (job: Job) => Result, options: ServeOptions<Result> = {}): void {
  const port = parentPort
  if (port === null) throw new Error('this module runs as a worker thread only')
  port.on('message', (job: Job) => {
    try {
      const result = work(job)
      port.postMessage({ kind: 'done', result } satisfies ThreadReply<Result>, options.transfer?.(result) ?? [])
    } catch (error) {
      options.giveUp?.()
      port.postMessage(failureReply(error))
    }
  })
}
