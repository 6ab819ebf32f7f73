import { availableParallelism } from 'node:os'
import type { DiffId } from '../../digest.ts'
import { type Code, OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { FileRange, Source } from '../../sources/source.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import type { ImportLimits, LayerJob, LayerResult } from '../import/layer-job.ts'
import { Lane } from '../import/import-lane.ts'
import type { OnProgress } from '../progress.ts'

/** Layer that a manifest names and the store does not hold. */
export interface WantedLayer {
  readonly blob: Descriptor
  readonly diffId: DiffId
}

export interface ImportOptions {
  /** Transaction in which objects and recipes are staged. */
  readonly transaction: Pick<Transaction, 'place'>
  readonly limits: ImportLimits
  readonly signal: AbortSignal | undefined
  readonly onProgress: OnProgress | undefined
  /** Called for every layer as soon as it is staged. */
  readonly onLayer: (layer: WantedLayer, result: LayerResult) => void
}

/** Fewest lanes for a network source: transfers wait more than they work, so there may be more of them than cores. */
const networkLanes = 4
const lanesMax = 8
const progressMs = 100

/**
 * Imports layers side by side; each diffID comes once. The first failure stops the others. Returns the number of
 * layers.
 */
export async function importLayers(
  source: Source,
  wanted: readonly WantedLayer[],
  options: ImportOptions,
): Promise<number> {
  const queue = await Promise.all(largestFirst(wanted).map((layer) => locate(source, layer)))
  const layers = queue.length
  const failed = new AbortController()
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal])
  const threads = threadsPerLane(queue)
  const lanes = Array.from({ length: Math.min(laneCount(source), layers) }, (_, i) => `lane${i}`)
  const running = lanes.map(async (name) => {
    try {
      await using lane = new Lane(options.transaction.place(name), threads)
      await runLane(lane, source, queue, { ...options, signal })
    } catch (error) {
      failed.abort(error)
    }
  })
  await Promise.all(running)
  options.signal?.throwIfAborted()
  failed.signal.throwIfAborted()
  return layers
}

function laneCount(source: Source): number {
  const cores = availableParallelism()
  return Math.min(lanesMax, source.blobFile === undefined ? Math.max(cores, networkLanes) : cores)
}

/**
 * Returns the number of threads for each lane. A layer that is more than its share of the work would keep one core busy
 * when the others are done: it gets two threads.
 */
function threadsPerLane(queue: readonly LocatedLayer[]): 1 | 2 {
  const total = queue.reduce((sum, { blob }) => sum + blob.size, 0)
  const largest = queue[0]?.blob.size ?? 0
  return largest * availableParallelism() > total * 1.2 ? 2 : 1
}

/** Sorts the longest work first: the last to start should be short. Layers that occur twice are wanted once. */
function largestFirst(wanted: readonly WantedLayer[]): WantedLayer[] {
  const distinct = new Map(wanted.map((layer) => [layer.diffId, layer]))
  return [...distinct.values()].toSorted((a, b) => b.blob.size - a.blob.size)
}

interface LocatedLayer extends WantedLayer {
  /** Local file with the bytes; undefined when they come from elsewhere. */
  readonly file: FileRange | undefined
}

async function locate(source: Source, layer: WantedLayer): Promise<LocatedLayer> {
  return { ...layer, file: await source.blobFile?.(layer.blob) }
}

/**
 * Imports layers until none is left. The result of a layer is taken while the lane is busy with the next one: of a
 * hundred small layers none waits for that.
 */
async function runLane(lane: Lane, source: Source, queue: LocatedLayer[], options: ImportOptions): Promise<void> {
  let takeLast = (): void => {}
  for (let layer = queue.shift(); layer !== undefined; layer = queue.shift()) {
    options.signal?.throwIfAborted()
    const current = layer
    const [result] = await Promise.all([importLayer(lane, source, current, options), callNow(takeLast)])
    takeLast = () => {
      options.onLayer(current, result)
      const { digest, size } = current.blob
      options.onProgress?.({ type: 'layer', digest, size, done: size, finished: true })
    }
  }
  takeLast()
}

/** Runs `work` at once, and turns what it throws into a rejection. */
async function callNow(work: () => void): Promise<void> {
  work()
}

async function importLayer(
  lane: Lane,
  source: Source,
  layer: LocatedLayer,
  options: ImportOptions,
): Promise<LayerResult> {
  const { blob, diffId, file } = layer
  const { limits, signal, onProgress } = options
  const job: LayerJob = { blob: blob.digest, blobSize: blob.size, diffId, file, limits }
  using _progress = followProgress(lane, blob, onProgress)
  const bytes = file === undefined ? source.blob(blob, { signal, lent: true }) : undefined
  return await lane.import(job, bytes, signal).catch((error: unknown) => {
    throw inLayer(error, blob, source)
  })
}

/**
 * Adds layer and source to the error of a bad layer: of many layers one is bad, and the reader of the error wants to
 * know which, and whose.
 */
function inLayer(error: unknown, { digest }: Descriptor, { name }: Source): unknown {
  if (!(error instanceof OnefoldError) || !badLayer.includes(error.code)) return error
  const { code, message, hint } = error
  const where = error.message.includes(digest) ? `of ${name}` : `in layer ${digest} of ${name}`
  return new OnefoldError(code, `${message} (${where})`, {
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

const badLayer: readonly Code[] = ['BAD_FORMAT', 'LIMIT', 'UNSUPPORTED', 'DIGEST_MISMATCH']

/** Reports from time to time how far a lane has come with its blob. */
function followProgress(lane: Lane, blob: Descriptor, onProgress: OnProgress | undefined): Disposable {
  if (onProgress === undefined) return { [Symbol.dispose]() {} }
  const tell = (): void =>
    onProgress({ type: 'layer', digest: blob.digest, size: blob.size, done: lane.blobBytes, finished: false })
  tell()
  const timer = setInterval(tell, progressMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
