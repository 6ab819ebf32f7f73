import { workerData } from 'node:worker_threads'
import { inflateLayer } from './inflate-layer.ts'
import type { LaneSetup, LayerJob } from './layer-job.ts'
import { Ring } from '../../threads/ring.ts'
import { serveThread } from '../../threads/serve.ts'

/** Main module of the first thread of a lane that has two: blob bytes in, tar bytes out, both hashed on the way. */

const setup = workerData as LaneSetup
const inflated = new Ring(setup.inflated)
const fetched = new Ring(setup.fetched)
const intake = { fetched, progress: new BigInt64Array(setup.progress) }

serveThread(inflate, {
  giveUp() {
    inflated.end('aborted')
    fetched.end('aborted')
  },
})

function inflate(job: LayerJob): void {
  inflateLayer(job, intake, inflated)
  inflated.end('done')
}
