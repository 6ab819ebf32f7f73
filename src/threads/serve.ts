import type { MessagePort, Transferable } from 'node:worker_threads'
import { type ThreadReply, packError } from './layer-job.ts'
import { RingAborted } from '../../threads/ring.ts'

/**
 * Makes this thread answer jobs, one at a time. Whatever goes wrong is reported once; `giveUp` then makes the other side
 * of every ring stop as well.
 */
export function serveThread<Job, Result>(
  port: MessagePort | null,
  work: (job: Job) => Result,
  giveUp: () => void,
  transfer: (result: Result) => Transferable[] = () => [],
): void {
  if (port === null) throw new Error('this module runs as a worker thread only')
  port.on('message', (job: Job) => {
    try {
      const result = work(job)
      port.postMessage({ kind: 'done', result } satisfies ThreadReply<Result>, transfer(result))
    } catch (error) {
      giveUp()
      const aborted = error instanceof RingAborted
      const reply: ThreadReply<Result> = aborted ? { kind: 'aborted' } : { kind: 'failed', error: packError(error) }
      port.postMessage(reply)
    }
  })
}
