import { parentPort, workerData } from 'node:worker_threads'
import { inflateLayer } from './inflate-layer.ts'
import type { LaneSetup, LayerJob } from './layer-job.ts'
import { Ring } from '../../threads/ring.ts'
import { serveThread } from './serve-thread.ts'

/** First thread of a lane that has two: blob bytes in, tar bytes out, both hashed on the way. */

const setup = workerData as LaneSetup
const inflated = new Ring(setup.inflated)
const fetched = new Ring(setup.fetched)
const intake = { fetched, progress: new BigInt64Array(setup.progress) }

serveThread(
  parentPort,
  (job: LayerJob) => {
    inflateLayer(job, intake, inflated)
    inflated.end('done')
  },
  () => {
    inflated.end('aborted')
    fetched.end('aborted')
  },
)
