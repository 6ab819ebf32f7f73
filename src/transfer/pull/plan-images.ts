/** Plan of a pull, as a value: made once, shown by `--plan`, and carried out by the pull. */
import type { DiffId, VerityDigest } from '../../digest.ts'
import { type ImageConfig, parseConfig } from '../../formats/oci/image-config.ts'
import type { SealClaim } from '../../formats/oci/seal-claims.ts'
import type { Selected } from '../../formats/oci/select-image.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { LayerOutlook } from '../fetch/layer-outlook.ts'
import { assessLayers } from '../fetch/assess-layers.ts'
import { defaultLimits } from '../import/layer-job.ts'
import { relevantClaims } from '../seal/seal-check.ts'
import type { WantedLayer } from './import-layers.ts'
import { type FindLayer, PresentLayers, policyFor, presentImage } from './present-images.ts'
import type { PullOptions } from './pull-options.ts'
import { requirePlatform } from './select-images.ts'

export type ImagePlan = PresentImagePlan | NewImagePlan

/** Image that the store has as a whole. */
export interface PresentImagePlan {
  readonly kind: 'present'
  readonly image: Selected
  readonly record: ImageRecord
}

export interface NewImagePlan {
  readonly kind: 'new'
  readonly image: Selected
  readonly config: ImageConfig
  readonly configBytes: Uint8Array
  /** Digests that the image claims for its own tree, to be checked when the layers are there. */
  readonly claims: readonly SealClaim[]
  /** Step for each layer of the manifest, in its order. */
  readonly layers: readonly LayerStep[]
}

export type LayerStep =
  | { readonly how: 'present'; readonly layer: WantedLayer; readonly record: LayerRecord }
  /** Layer that stands further down in this image, or in one that is pulled before it. */
  | { readonly how: 'again'; readonly layer: WantedLayer }
  | { readonly how: 'fetch'; readonly layer: WantedLayer; readonly outlook: LayerOutlook }

export interface Planning {
  readonly store: Store
  readonly source: Source
  readonly options: PullOptions
  readonly findLayer: FindLayer
  /** Keeps objects safe from garbage collection before they are looked for; does nothing where a plan is only shown. */
  readonly hold: (objects: readonly VerityDigest[]) => void
  /** Plans an image as if the store had no record of it. */
  readonly evenIfPresent?: boolean
}

/** Plans images in the order in which they are pulled. Only manifests, configs and indexes of layers are read. */
export async function planImages(planning: Planning, images: readonly Selected[]): Promise<ImagePlan[]> {
  const coming = new ComingLayers()
  const plans: ImagePlan[] = []
  for (const image of images) plans.push(await planImage(planning, image, coming))
  return plans
}

async function planImage(planning: Planning, image: Selected, coming: ComingLayers): Promise<ImagePlan> {
  const { store, source, options } = planning
  const record = planning.evenIfPresent === true ? undefined : presentImage(store, image, options)
  if (record !== undefined) return { kind: 'present', image, record }
  const { manifest } = image
  const configBytes = await source.fetch(manifest.config, { signal: options.signal })
  const config = parseConfig(configBytes, manifest.layers.length)
  requirePlatform(options.platform, image, config.platform)
  const claims = relevantClaims(manifest, config, options)
  const wanted = manifest.layers.map((blob, place) => ({ blob, diffId: diffIdAt(config, place) }))
  return { kind: 'new', image, config, configBytes, claims, layers: await planSteps(planning, image, wanted, coming) }
}

async function planSteps(
  planning: Planning,
  image: Selected,
  wanted: readonly WantedLayer[],
  coming: ComingLayers,
): Promise<LayerStep[]> {
  const { store, source, options, hold, findLayer } = planning
  const { signal, onProgress } = options
  const policy = policyFor(store, image.descriptor.digest, options)
  const present = new PresentLayers(store, findLayer)
  const known = new Map<WantedLayer, LayerRecord>()
  for (const layer of wanted) {
    const record = await present.find(layer, policy)
    if (record !== undefined) known.set(layer, record)
  }
  const missing = wanted.filter((layer) => !known.has(layer))
  const limits = { ...defaultLimits, ...options.limits }
  const of = { digest: image.descriptor.digest, manifest: image.manifest }
  const outlookOptions = { store, image: of, policy, limits, hold, signal, onProgress }
  const first = missing.filter((layer, place) => !coming.has(layer) && isFirst(missing, layer, place))
  const outlooks = new Map((await assessLayers(source, first, outlookOptions)).map((outlook, i) => [first[i], outlook]))
  return wanted.map((layer): LayerStep => {
    const record = known.get(layer)
    if (record !== undefined) return { how: 'present', layer, record }
    const outlook = outlooks.get(layer)
    if (outlook === undefined) return { how: 'again', layer }
    coming.add(outlook)
    return { how: 'fetch', layer, outlook }
  })
}

function isFirst(layers: readonly WantedLayer[], { blob, diffId }: WantedLayer, place: number): boolean {
  return layers.findIndex((other) => other.diffId === diffId && other.blob.digest === blob.digest) === place
}

/** Layers that earlier images of the same pull bring, and that stand for others of the same diffID. */
class ComingLayers {
  readonly #proven = new Set<DiffId>()

  has({ diffId }: WantedLayer): boolean {
    return this.#proven.has(diffId)
  }

  /**
   * Adds a layer that comes. One that comes by parts may come whole after all, and is proven then; so this never adds
   * too much.
   */
  add({ diffId, proof }: LayerOutlook): void {
    if (proof === 'proven') this.#proven.add(diffId)
  }
}

function diffIdAt(config: ImageConfig, place: number): DiffId {
  const diffId = config.diffIds[place]
  if (diffId === undefined) throw new Error('parseConfig() lets no config through that has fewer diffIDs than layers')
  return diffId
}
