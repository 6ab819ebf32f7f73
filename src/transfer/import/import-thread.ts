import { workerData } from 'node:worker_threads'
import { Staging } from '../../store/transaction/staging.ts'
import { inflateLayer } from './inflate-layer.ts'
import type { LaneSetup, LayerJob, LayerResult } from './layer-job.ts'
import { Scratch } from './file-intake.ts'
import { LayerImport } from './layer-import.ts'
import { Ring } from '../../threads/ring.ts'
import { serveThread } from '../../threads/serve.ts'

/** Main module of the second thread of a lane, or its only one: tar bytes in, staged objects and a recipe out. */

const setup = workerData as LaneSetup
const inflated = new Ring(setup.inflated)
const fetched = new Ring(setup.fetched)
const intake = { fetched, progress: new BigInt64Array(setup.progress) }
const staging = new Staging(setup.place)
const scratch = new Scratch()

serveThread(setup.threads === 1 ? inflateAndImport : importInflated, {
  giveUp() {
    inflated.end('aborted')
    if (setup.threads === 1) fetched.end('aborted')
  },
  transfer: (result) => [result.recipeBytes.buffer as ArrayBuffer],
})

function importInflated(job: LayerJob): LayerResult {
  const layer = new LayerImport(job, staging, scratch)
  for (let bytes = inflated.take(); bytes !== undefined; bytes = inflated.take()) {
    layer.write(bytes)
    inflated.release()
  }
  return layer.finish()
}

function inflateAndImport(job: LayerJob): LayerResult {
  const layer = new LayerImport(job, staging, scratch)
  const room = new Uint8Array(setup.inflated.data)
  inflateLayer(job, intake, { claim: () => room, publish: (length) => layer.write(room.subarray(0, length)) })
  return layer.finish()
}
