import { parentPort } from 'node:worker_threads'
import { type Job, examine } from './examine.ts'

/** Answers jobs in order, one at a time. What throws here is a bug, and ends the check. */
parentPort?.on('message', (job: Job) => parentPort?.postMessage(examine(job)))
