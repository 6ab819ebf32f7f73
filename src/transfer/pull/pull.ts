import { existsSync } from 'node:fs'
import type { Digest, DiffId, RecipeDigest, VerityDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import type { Descriptor, Platform } from '../../formats/entry.ts'
import { type ImageConfig, parseConfig } from '../../formats/oci/image-config.ts'
import { formatPlatform, hostPlatform, matchPlatform } from '../../formats/oci/platform.ts'
import { type Document, type Selected, selectAllImages, selectImage } from '../../formats/oci/select-image.ts'
import { tocDigestOf } from '../../formats/toc-json/toc-annotations.ts'
import type { Source } from '../../sources/source.ts'
import { blobPath } from '../../store/store-layout.ts'
import { Missing } from '../../store/objects/missing-objects.ts'
import type { ImageRecord, LayerKind, LayerRecord, Proof } from '../../store/records/image-record.ts'
import { encodeRef } from '../../store/records/refs.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { Composer } from '../../image/composer.ts'
import { type ImportLimits, type LayerResult, defaultLimits } from '../import/layer-job.ts'
import { digestSubject } from '../seal/image-digests.ts'
import { type WantedLayer, importLayers } from './import-layers.ts'
import type { LayerOutlook, PartialPolicy } from '../fetch/layer-outlook.ts'
import type { OnProgress } from '../progress.ts'
import { type SealOptions, checkSeal, claimsThatCount, storedDocuments } from '../seal/seal-check.ts'

export interface PullOptions extends SealOptions {
  /** Name of the image in the store; default: the source as written. */
  readonly name?: string
  /** Which image of an index; default: the one for this machine. */
  readonly platform?: Platform
  readonly allPlatforms?: boolean
  /** Keep `security.selinux` from layers. */
  readonly keepSelinux?: boolean
  readonly limits?: Partial<ImportLimits>
  /** Whether layers that bring a table of contents are pulled by parts; default where that saves enough. */
  readonly partial?: PartialPolicy
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

export interface PullResult {
  readonly name: string
  readonly top: Digest
  readonly images: readonly PulledImage[]
  readonly stats: PullStats
}

export interface PulledImage {
  readonly manifest: Digest
  readonly config: Digest
  readonly image: VerityDigest
  readonly platform: string
  /** Layers that only matched their table of contents. */
  readonly believed: number
}

export interface PullStats {
  readonly layersPulled: number
  readonly layersPresent: number
  /** Of the layers that were pulled: those of which only parts were fetched. */
  readonly layersByParts: number
  /** Of the layers that were pulled: */
  readonly files: number
  readonly blobBytes: number
  readonly tarBytes: number
  /** Objects the store did not hold before, and their bytes. */
  readonly newObjects: number
  readonly newBytes: number
}

/**
 * Brings an image from a source into the store, in one transaction. What the store holds already is not asked for; an
 * image that is there as a whole costs the manifest's round trip and, where it is new, a name.
 */
export async function pull(store: Store, source: Source, options: PullOptions = {}): Promise<PullResult> {
  const { signal, onProgress } = options
  const name = options.name ?? source.name
  encodeRef(name) // refuses what no image can be called before a byte is fetched
  if (options.expectImage !== undefined && options.allPlatforms === true)
    throw new OnefoldError('USAGE', 'Cannot expect one image digest of all platforms: choose a platform')
  onProgress?.({ type: 'step', step: 'resolving' })
  const top = await source.resolve({ signal })
  const selected = await select(source, top, options)
  const there = selected.map((image) => presentImage(store, image, options))
  if (
    there.every((record) => record !== undefined) &&
    readable(() => store.ref(name))?.digest === top.descriptor.digest
  ) {
    for (const record of there) await checkPresent(store, record, options)
    return { name, top: top.descriptor.digest, images: there.map(describe), stats: present(there) }
  }
  return await repeated(() => bringIn(store, source, name, { top, selected }, options))
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
    const job: Job = { store, source, transaction, options: { ...options, ignoreSeal: true }, stats: noStats() }
    options.onProgress?.({ type: 'step', step: 'pulling' })
    const record = await bringImage(job, image)
    await transaction.commit({ signal: options.signal })
    return record
  })
}

async function repeated<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      // What this relied on was collected before it had a claim on it; so it is brought in again.
      if (!hasCode(error, 'BUSY') || attempt === attempts) throw error
    }
  }
}

const attempts = 3

interface Found {
  readonly top: Document
  readonly selected: readonly Selected[]
}

async function bringIn(
  store: Store,
  source: Source,
  name: string,
  { top, selected }: Found,
  options: PullOptions,
): Promise<PullResult> {
  const { signal, onProgress } = options
  await using transaction = await store.begin()
  const job: Job = { store, source, transaction, options, stats: noStats() }
  transaction.setRef(name, top.descriptor)
  onProgress?.({ type: 'step', step: 'pulling' })
  const images: PulledImage[] = []
  for (const image of selected) images.push(describe(await pullImage(job, image)))
  onProgress?.({ type: 'step', step: 'making durable' })
  await transaction.commit({ signal })
  return { name, top: top.descriptor.digest, images, stats: job.stats }
}

interface Job {
  readonly store: Store
  readonly source: Source
  readonly transaction: Transaction
  readonly options: PullOptions
  readonly stats: Mutable<PullStats>
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function noStats(): Mutable<PullStats> {
  return {
    layersPulled: 0,
    layersPresent: 0,
    layersByParts: 0,
    files: 0,
    blobBytes: 0,
    tarBytes: 0,
    newObjects: 0,
    newBytes: 0,
  }
}

export async function select(source: Source, top: Document, options: PullOptions): Promise<Selected[]> {
  const fetch = (descriptor: Descriptor): Promise<Uint8Array> => source.fetch(descriptor, { signal: options.signal })
  if (options.allPlatforms === true) return selectAllImages(top, fetch)
  return [await selectImage(top, options.platform ?? hostPlatform(), fetch)]
}

/** An image that stands alone is taken whatever it runs on, unless a platform was asked for by name. */
function requirePlatform(wanted: Platform | undefined, image: Selected, platform: Platform): void {
  if (wanted === undefined || image.platform !== undefined || matchPlatform(wanted, platform) !== undefined) return
  const found = formatPlatform(platform)
  throw new OnefoldError('NOT_FOUND', `Cannot find an image for ${formatPlatform(wanted)}: there is one, for ${found}`)
}

async function pullImage(job: Job, image: Selected): Promise<ImageRecord> {
  const known = presentImage(job.store, image, job.options)
  if (known === undefined) return await bringImage(job, image)
  await checkPresent(job.store, known, job.options)
  for (const document of image.trail) job.transaction.putBlob(document.descriptor.digest, document.bytes)
  job.stats.layersPresent += known.layers.length
  return known
}

async function bringImage(job: Job, image: Selected): Promise<ImageRecord> {
  const { source, transaction, options } = job
  for (const document of image.trail) transaction.putBlob(document.descriptor.digest, document.bytes)
  const keepSelinux = options.keepSelinux === true
  const configBytes = await source.fetch(image.manifest.config, { signal: options.signal })
  const config = parseConfig(configBytes, image.manifest.layers.length)
  requirePlatform(options.platform, image, config.platform)
  const claims = claimsThatCount(image.manifest, config, options)
  const composer = new Composer({ keepSelinux })
  const layers = await pullLayers(job, image, config, composer)
  options.onProgress?.({ type: 'step', step: 'composing image' })
  using staged = transaction.stageImage()
  const composed = composer.finish(staged.write)
  const readRecipe = (digest: RecipeDigest): Uint8Array => transaction.readRecipe(digest)
  const { root, folder } = transaction
  const subject = { image: composed.digest, layers, keepSelinux, root, places: [folder, root], readRecipe }
  await checkSeal(subject, claims, options)
  transaction.putImage(composed.digest, staged)
  transaction.putBlob(image.manifest.config.digest, configBytes)
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
 * The image as the store has it, when all that its record names is there, objects as far as fsck has looked; what the
 * rest is worth, fsck checks.
 */
function presentImage(store: Store, selected: Selected, options: PullOptions): ImageRecord | undefined {
  const record = readable(() => store.record(selected.descriptor.digest))
  if (record === undefined) return undefined
  requirePlatform(options.platform, selected, record.platform)
  const image = record.images.default
  const isWhole =
    image !== undefined &&
    existsSync(store.imagePath(image)) &&
    record.keepSelinux === (options.keepSelinux ?? false) &&
    existsSync(blobPath(store.root, record.config.digest)) &&
    selected.trail.every(({ descriptor }) => existsSync(blobPath(store.root, descriptor.digest))) &&
    record.layers.every(({ recipe, proof }) => store.hasRecipe(recipe) && isEnough(proof, options.partial))
  if (!isWhole) return undefined
  const missing = new Missing(store.root)
  return record.layers.every(({ recipe }) => missing.isWhole(recipe)) ? record : undefined
}

/** What is damaged is brought in again. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError && ['BAD_FORMAT', 'BAD_NAME', 'CORRUPT', 'LIMIT'].includes(error.code))
      return undefined
    throw error
  }
}

/** What is there may have been taken on other terms. */
async function checkPresent(store: Store, record: ImageRecord, options: PullOptions): Promise<void> {
  const { manifest, config } = storedDocuments(store, record)
  await checkSeal(digestSubject(store, record), claimsThatCount(manifest, config, options), options)
}

/** Layers that were found to lie are pulled again, and those that are only believed when whole ones are asked for. */
function isEnough(proof: Proof, policy: PartialPolicy | undefined): boolean {
  return proof === 'proven' || (proof === 'toc-only' && policy !== 'never')
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

/**
 * The layers of a manifest in its order: those the store knows, those that are fetched by parts, and those it has to
 * import. The composer gets each as soon as it is there.
 */
async function pullLayers(
  job: Job,
  { manifest, descriptor }: Selected,
  config: ImageConfig,
  composer: Composer,
): Promise<LayerRecord[]> {
  const { source, transaction, options, stats } = job
  const kindAt = (place: number): LayerKind => source.kinds?.[place] ?? source.kind
  const wanted = manifest.layers.map((blob, i) => ({ blob, diffId: diffIdAt(config, i) }))
  const places = Map.groupBy(wanted.keys(), (place) => diffIdAt(config, place))
  const records: LayerRecord[] = []
  const take = (layer: LayerRecord, bytes: Uint8Array): void => {
    for (const place of places.get(layer.diffId) ?? []) {
      const blob = wanted[place]?.blob
      if (blob === undefined || records[place] !== undefined || !isFor(layer, blob)) continue
      const kind = kindAt(place)
      records[place] = { ...layer, blob, kind }
      composer.layer([place], { bytes, kind })
    }
  }
  const missing = (): WantedLayer[] => wanted.filter((_, place) => records[place] === undefined)
  const lost = new Missing(transaction.root)
  const policy = policyFor(job, descriptor.digest)
  for (const [place, layer] of wanted.entries()) {
    const known = records[place] === undefined ? await knownLayer(transaction, layer, policy) : undefined
    if (known !== undefined && lost.isWhole(known.recipe))
      take({ ...known, diffId: layer.diffId }, transaction.readRecipe(known.recipe))
  }
  const before = stats.layersPulled
  if (missing().length > 0) transaction.startWriteback()
  const limits = { ...defaultLimits, ...options.limits }
  const { signal, onProgress } = options
  const onParts = (outlook: LayerOutlook, result: LayerResult): void => {
    const layer = partialLayer(outlook, source.kind, result.recipe)
    if (layer.proof === 'proven') transaction.noteLayer(layer)
    take(layer, result.recipeBytes)
    count(stats, result)
    stats.layersByParts++
  }
  if (missing().length > 0 && policy !== 'never') {
    const { pullParts } = await import('../fetch/pull-parts.ts')
    const image = { digest: descriptor.digest, manifest }
    await pullParts(source, missing(), { transaction, image, policy, limits, signal, onProgress, onLayer: onParts })
  }
  await importLayers(source, missing(), {
    storeRoot: transaction.root,
    transaction: transaction.folder,
    limits,
    signal,
    onProgress,
    onLayer: ({ blob, diffId }, result) => {
      const layer = provenLayer(blob, diffId, source.kind, result.recipe)
      transaction.noteLayer(layer)
      take(layer, result.recipeBytes)
      count(stats, result)
    },
  })
  if (missing().length > 0) throw new Error(`layer ${missing()[0]?.diffId} was neither present nor imported`)
  stats.layersPresent += wanted.length - (stats.layersPulled - before)
  return records
}

/** What an image's tables say is not listened to again once they were found to lie. */
function policyFor({ store, options }: Job, manifest: Digest): PartialPolicy {
  const before = readable(() => store.record(manifest))
  if (before?.layers.some(({ proof }) => proof === 'failed') === true) return 'never'
  return options.partial ?? 'auto'
}

/** Proven, it stands wherever its diffID does; otherwise only for the very blob whose table it was read by. */
function isFor(layer: LayerRecord, blob: Descriptor): boolean {
  return layer.proof === 'proven' || layer.blob.digest === blob.digest
}

async function knownLayer(
  transaction: Transaction,
  { blob, diffId }: WantedLayer,
  policy: PartialPolicy,
): Promise<LayerRecord | undefined> {
  const proven = await transaction.findLayer({ diffId })
  if (proven !== undefined || policy === 'never') return proven
  const toc = tocDigestOf(blob)
  const believed = toc === undefined ? undefined : await transaction.findLayer({ blob: blob.digest, toc })
  return believed?.diffId === diffId ? believed : undefined
}

function partialLayer(outlook: LayerOutlook, kind: LayerKind, recipe: RecipeDigest): LayerRecord {
  const { blob, diffId, proof, toc } = outlook
  return { blob, diffId, recipe, kind, proof, ...(proof === 'toc-only' && toc !== undefined && { toc }) }
}

function provenLayer(blob: Descriptor, diffId: DiffId, kind: LayerKind, recipe: RecipeDigest): LayerRecord {
  return { blob, diffId, recipe, kind, proof: 'proven' }
}

function diffIdAt(config: ImageConfig, index: number): DiffId {
  const diffId = config.diffIds[index]
  if (diffId === undefined) throw new Error('parseConfig() lets no config through that has fewer diffIDs than layers')
  return diffId
}

function count(stats: Mutable<PullStats>, result: LayerResult): void {
  stats.layersPulled++
  stats.files += result.files
  stats.blobBytes += result.blobBytes
  stats.tarBytes += result.tarBytes
  stats.newObjects += result.newObjects
  stats.newBytes += result.newBytes
}
