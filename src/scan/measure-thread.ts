import { parentPort } from 'node:worker_threads'
import { packError } from '../transfer/import/layer-job.ts'
import { type MeasureJob, measureFiles } from './measure-files.ts'
import type { MeasureReply } from './measure-pool.ts'

/** Answers jobs one at a time, in order. */
parentPort?.on('message', (job: MeasureJob) => parentPort?.postMessage(answer(job)))

function answer(job: MeasureJob): MeasureReply {
  try {
    return { measured: measureFiles(job) }
  } catch (error) {
    return { error: packError(error) }
  }
}
