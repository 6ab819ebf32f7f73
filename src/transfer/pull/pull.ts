import { OnefoldError, hasCode } from '../../error.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Document, Selected } from '../../formats/oci/select-image.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { digestSubject } from '../seal/image-digests.ts'
import { checkSeal, relevantClaims, storedDocuments } from '../seal/seal-check.ts'
import { type PullJob, pullImage } from './pull-image.ts'
import { type ImagePlan, planImages } from './plan-images.ts'
import { presentImage, unlessDamaged } from './present-images.ts'
import { type PullOptions, type PullResult, type PullStats, type PulledImage, noStats } from './pull-options.ts'
import { selectImages } from './select-images.ts'

export type { PullOptions, PullResult, PullStats, PulledImage } from './pull-options.ts'

/**
 * Brings an image from a source into the store, in one transaction. Parts that the store holds already are not asked
 * for; an image that is there as a whole costs the manifest's round trip and, where it is new, a name.
 */
export async function pull(store: Store, source: Source, options: PullOptions = {}): Promise<PullResult> {
  const { signal, onProgress } = options
  const name = options.name ?? source.name
  store.checkName(name) // before a byte is fetched
  if (options.expectImage !== undefined && options.allPlatforms === true)
    throw new OnefoldError('USAGE', 'Cannot expect one image digest of all platforms: choose a platform')
  onProgress?.({ type: 'step', step: 'resolving' })
  const top = await source.resolve({ signal })
  const images = await selectImages(source, top, options)
  const there = images.map((image) => presentImage(store, image, options))
  const isNamed = unlessDamaged(() => store.ref(name))?.digest === top.descriptor.digest
  if (isNamed && there.every((record) => record !== undefined)) {
    for (const record of there) await checkPresent(store, record, options)
    return { name, top: top.descriptor.digest, images: there.map(describe), stats: present(there) }
  }
  return await repeated(() => pullSelected(store, source, name, { top, images }, options))
}

/**
 * Makes an image of the store whole again, whatever the store says is there of it; its names stay as they are. Layers
 * that the store has whole are not asked for.
 */
export async function restore(
  store: Store,
  source: Source,
  image: Selected,
  options: Omit<PullOptions, 'name' | 'platform' | 'allPlatforms'> = {},
): Promise<ImageRecord> {
  return await repeated(async () => {
    await using transaction = await store.begin()
    // What the image says of itself was checked, or not minded, when it was pulled.
    const job: PullJob = { store, source, transaction, options: { ...options, ignoreSeal: true }, stats: noStats() }
    options.onProgress?.({ type: 'step', step: 'pulling' })
    const [plan] = await plansFor(job, [image], { evenIfPresent: true })
    if (plan?.kind !== 'new') throw new Error('an image that is restored is brought in, whatever is there of it')
    const record = await pullImage(job, plan)
    await transaction.commit({ signal: options.signal })
    return record
  })
}

const attempts = 3

/** Tries again when data that was relied on has been collected before there was a claim on it. */
async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (!hasCode(error, 'BUSY') || attempt === attempts) throw error
    }
  }
}

interface Resolved {
  readonly top: Document
  readonly images: readonly Selected[]
}

async function pullSelected(
  store: Store,
  source: Source,
  name: string,
  { top, images }: Resolved,
  options: PullOptions,
): Promise<PullResult> {
  const { signal, onProgress } = options
  await using transaction = await store.begin()
  const job: PullJob = { store, source, transaction, options, stats: noStats() }
  transaction.setRef(name, top.descriptor)
  onProgress?.({ type: 'step', step: 'pulling' })
  const pulled: PulledImage[] = []
  for (const plan of await plansFor(job, images)) pulled.push(describe(await carryOut(job, plan)))
  onProgress?.({ type: 'step', step: 'making durable' })
  await transaction.commit({ signal })
  return { name, top: top.descriptor.digest, images: pulled, stats: job.stats }
}

/** Plans under a transaction: objects that the plans rely on are held from here on. */
async function plansFor(
  { store, source, transaction, options }: PullJob,
  images: readonly Selected[],
  { evenIfPresent = false } = {},
): Promise<ImagePlan[]> {
  using staging = transaction.staging('look')
  const hold = staging.hold.bind(staging)
  const findLayer: Transaction['findLayer'] = (want) => transaction.findLayer(want)
  return await planImages({ store, source, options, findLayer, hold, evenIfPresent }, images)
}

async function carryOut(job: PullJob, plan: ImagePlan): Promise<ImageRecord> {
  if (plan.kind === 'new') return await pullImage(job, plan)
  const { image, record } = plan
  await checkPresent(job.store, record, job.options)
  for (const document of image.trail) job.transaction.putBlob(document.descriptor.digest, document.bytes)
  job.stats.layersPresent += record.layers.length
  return record
}

/** Checks an image that is in the store by the terms of this pull: it may have been taken on others. */
async function checkPresent(store: Store, record: ImageRecord, options: PullOptions): Promise<void> {
  const { manifest, config } = storedDocuments(store, record)
  await checkSeal(digestSubject(store, record), relevantClaims(manifest, config, options), options)
}

function present(records: readonly ImageRecord[]): PullStats {
  return { ...noStats(), layersPresent: records.reduce((sum, { layers }) => sum + layers.length, 0) }
}

function describe(record: ImageRecord): PulledImage {
  const image = record.images.default
  if (image === undefined)
    throw new OnefoldError('CORRUPT', `Cannot use record ${record.manifest.digest}: it names no image`)
  return {
    manifest: record.manifest.digest,
    config: record.config.digest,
    image,
    platform: formatPlatform(record.platform),
    believed: record.layers.filter(({ proof }) => proof === 'toc-only').length,
  }
}
