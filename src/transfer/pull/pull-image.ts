import type { RecipeDigest } from '../../digest.ts'
import { Composer } from '../../image/composer.ts'
import type { Source } from '../../sources/source.ts'
import type { LayerKind } from '../../formats/layer-kind.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import type { LayerOutlook } from '../fetch/layer-outlook.ts'
import { type LayerResult, defaultLimits } from '../import/layer-job.ts'
import type { DigestSubject } from '../seal/image-digests.ts'
import { checkSeal } from '../seal/seal-check.ts'
import { type WantedLayer, importLayers } from './import-layers.ts'
import { LayerSlots } from './layer-slots.ts'
import type { LayerStep, NewImagePlan } from './plan-images.ts'
import type { Mutable, PullOptions, PullStats } from './pull-options.ts'

/** One pull under way. */
export interface PullJob {
  readonly store: Store
  readonly source: Source
  readonly transaction: Transaction
  readonly options: PullOptions
  readonly stats: Mutable<PullStats>
}

/** Carries out the plan of one image: documents, layers, the composefs image, the record. */
export async function pullImage(job: PullJob, plan: NewImagePlan): Promise<ImageRecord> {
  const { source, transaction, options } = job
  const { image, config } = plan
  for (const document of image.trail) transaction.putBlob(document.descriptor.digest, document.bytes)
  const keepSelinux = options.keepSelinux === true
  const composer = new Composer({ keepSelinux })
  const layers = await pullLayers(job, plan, composer)
  options.onProgress?.({ type: 'step', step: 'composing image' })
  using staged = transaction.stageImage()
  const composed = composer.finish(staged.write)
  const readRecipe = (digest: RecipeDigest): Uint8Array => transaction.readRecipe(digest)
  const wideDigests: DigestSubject['wideDigests'] = (objects, wide) => transaction.wideDigests(objects, wide)
  const subject: DigestSubject = { image: composed.digest, layers, keepSelinux, readRecipe, wideDigests }
  await checkSeal(subject, plan.claims, options)
  transaction.putImage(composed.digest, staged)
  transaction.putBlob(image.manifest.config.digest, plan.configBytes)
  const record: ImageRecord = {
    manifest: image.descriptor,
    config: image.manifest.config,
    platform: image.platform ?? config.platform,
    layers,
    images: { default: composed.digest },
    origin: { source: source.name },
    keepSelinux,
    size: composed.size,
  }
  transaction.putRecord(record)
  return record
}

/**
 * Brings in the layers of a manifest in its order: those the store knows, those that are fetched by parts, and those
 * that are imported whole, by plan or because their parts could not be had.
 */
async function pullLayers(job: PullJob, { image, layers }: NewImagePlan, composer: Composer): Promise<LayerRecord[]> {
  const { source, transaction, stats } = job
  const kindAt = (place: number): LayerKind => source.kinds?.[place] ?? source.kind
  const slots = new LayerSlots(
    layers.map(({ layer }) => layer),
    kindAt,
    composer,
  )
  const before = stats.layersPulled
  await takePresent(job, layers, slots)
  if (slots.missing.length > 0) {
    transaction.startWriteback()
    await fetchByParts(job, layers, slots)
    await importWhole(job, slots)
  }
  stats.layersPresent += image.manifest.layers.length - (stats.layersPulled - before)
  return slots.records()
}

async function takePresent({ transaction }: PullJob, steps: readonly LayerStep[], slots: LayerSlots): Promise<void> {
  for (const step of steps) {
    const record = step.how === 'present' ? step.record : await pulledBefore(transaction, step)
    if (record !== undefined) slots.fill(record, transaction.readRecipe(record.recipe))
  }
}

/** Finds a layer that another image of the same pull has brought. */
async function pulledBefore(transaction: Transaction, { how, layer }: LayerStep): Promise<LayerRecord | undefined> {
  return how === 'again' ? await transaction.findLayer({ diffId: layer.diffId }) : undefined
}

async function fetchByParts(job: PullJob, steps: readonly LayerStep[], slots: LayerSlots): Promise<void> {
  const outlooks = steps.flatMap((step) => (step.how === 'fetch' && step.outlook.how === 'parts' ? [step.outlook] : []))
  if (outlooks.length === 0) return
  const { store, source, transaction, options, stats } = job
  const { signal, onProgress } = options
  const { pullParts } = await import('../fetch/pull-parts.ts')
  await pullParts(source, outlooks, {
    store,
    transaction,
    limits: { ...defaultLimits, ...options.limits },
    signal,
    onProgress,
    onLayer: (outlook, result) => {
      const record = layerOfParts(outlook, source.kind, result.recipe)
      if (record.proof === 'proven') transaction.noteLayer(record)
      slots.fill(record, result.recipeBytes)
      count(stats, result)
      stats.layersByParts++
    },
  })
}

async function importWhole(job: PullJob, slots: LayerSlots): Promise<void> {
  const { source, transaction, options, stats } = job
  const { signal, onProgress } = options
  await importLayers(source, slots.missing, {
    transaction,
    limits: { ...defaultLimits, ...options.limits },
    signal,
    onProgress,
    onLayer: (layer, result) => {
      const record = provenLayer(layer, source.kind, result.recipe)
      transaction.noteLayer(record)
      slots.fill(record, result.recipeBytes)
      count(stats, result)
    },
  })
}

function layerOfParts(outlook: LayerOutlook, kind: LayerKind, recipe: RecipeDigest): LayerRecord {
  const { blob, diffId, proof, toc } = outlook
  return { blob, diffId, recipe, kind, proof, ...(proof === 'toc-only' && toc !== undefined && { toc }) }
}

function provenLayer({ blob, diffId }: WantedLayer, kind: LayerKind, recipe: RecipeDigest): LayerRecord {
  return { blob, diffId, recipe, kind, proof: 'proven' }
}

function count(stats: Mutable<PullStats>, result: LayerResult): void {
  stats.layersPulled++
  stats.files += result.files
  stats.blobBytes += result.blobBytes
  stats.tarBytes += result.tarBytes
  stats.newObjects += result.newObjects
  stats.newBytes += result.newBytes
}
