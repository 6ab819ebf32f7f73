import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../../formats/entry.ts'
import { parseConfig } from '../../formats/oci/image-config.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Selected } from '../../formats/oci/select-image.ts'
import { tocDigestOf } from '../../formats/toc-json/toc-annotations.ts'
import type { Source } from '../../sources/source.ts'
import { type LayerIndex, openIndex } from '../../store/index/layer-index.ts'
import type { Store } from '../../store/store.ts'
import { defaultLimits } from '../import/layer-job.ts'
import type { WantedLayer } from './import-layers.ts'
import type { LayerOutlook } from '../fetch/layer-outlook.ts'
import { lookAtLayers } from '../fetch/look-at-layers.ts'
import { type PullOptions, select } from './pull.ts'

/** What a pull would do, found out without fetching content. */
export interface PullPlan {
  readonly name: string
  readonly top: Digest
  readonly images: readonly PlannedImage[]
  readonly total: PlannedTotal
}

export interface PlannedImage {
  readonly manifest: Digest
  readonly platform: string
  readonly layers: readonly PlannedLayer[]
}

export interface PlannedLayer extends PlannedTotal {
  readonly blob: Digest
  readonly size: number
  readonly how: LayerOutlook['how']
  /** For people. */
  readonly why: string
  readonly proof: LayerOutlook['proof']
  /** Whose table it is, where there is one. */
  readonly format?: string
}

/** Bytes over the wire, and bytes of content by where they come from. */
export interface PlannedTotal {
  readonly fetchBytes: number
  readonly requests: number
  /** The same without the gaps that are read to save requests. */
  readonly leastBytes: number
  /** Tables of contents, which were read for the plan: part of the above. */
  readonly tableBytes: number
  /** In files that the store has. */
  readonly fileBytes: number
  /** In parts of other files of the store. */
  readonly chunkBytes: number
  /** In files that the image has twice. */
  readonly sameBytes: number
  /** In holes. */
  readonly zeroBytes: number
}

/** Which bytes a pull would fetch and which it would not have to. Only manifests, configs and tables are read. */
export async function planPull(store: Store, source: Source, options: PullOptions = {}): Promise<PullPlan> {
  const { signal } = options
  const top = await source.resolve({ signal })
  using index = await openIndex(store.root)
  const images: PlannedImage[] = []
  for (const image of await select(source, top, options))
    images.push(await planImage({ store, source, index, options }, image))
  const layers = images.flatMap((image) => image.layers)
  return { name: options.name ?? source.name, top: top.descriptor.digest, images, total: sum(layers) }
}

interface Planning {
  readonly store: Store
  readonly source: Source
  readonly index: LayerIndex
  readonly options: PullOptions
}

async function planImage({ store, source, index, options }: Planning, image: Selected): Promise<PlannedImage> {
  const { signal, partial: policy = 'auto' } = options
  const config = parseConfig(await source.fetch(image.manifest.config, { signal }), image.manifest.layers.length)
  const wanted: WantedLayer[] = config.diffIds.flatMap((diffId, place) => {
    const blob = image.manifest.layers[place]
    return blob === undefined ? [] : [{ blob, diffId }]
  })
  const isThere = ({ blob, diffId }: WantedLayer): boolean => {
    const toc = policy === 'never' ? undefined : tocDigestOf(blob)
    const known = index.find({ diffId }) ?? (toc && index.find({ blob: blob.digest, toc }))
    return known !== undefined && store.hasRecipe(known.recipe)
  }
  const isFirst = ({ diffId }: WantedLayer, place: number): boolean =>
    wanted.findIndex((other) => other.diffId === diffId) === place
  const missing = wanted.filter((layer, place) => isFirst(layer, place) && !isThere(layer))
  const limits = { ...defaultLimits, ...options.limits }
  const of = { digest: image.descriptor.digest, manifest: image.manifest }
  const looking = { storeRoot: store.root, image: of, policy, limits, hold: () => {}, signal }
  const outlooks = await lookAtLayers(source, missing, looking)
  const layers = wanted.map((layer) => {
    const place = missing.indexOf(layer)
    return place < 0 ? presentLayer(layer.blob) : describe(outlooks[place], layer.blob)
  })
  return { manifest: image.descriptor.digest, platform: formatPlatform(image.platform ?? config.platform), layers }
}

const nothing: PlannedTotal = {
  fetchBytes: 0,
  requests: 0,
  leastBytes: 0,
  tableBytes: 0,
  fileBytes: 0,
  chunkBytes: 0,
  sameBytes: 0,
  zeroBytes: 0,
}

function presentLayer({ digest, size }: Descriptor): PlannedLayer {
  return { blob: digest, size, how: 'present', why: 'the store has the layer', proof: 'proven', ...nothing }
}

function describe(outlook: LayerOutlook | undefined, blob: Descriptor): PlannedLayer {
  if (outlook === undefined) throw new Error('every missing layer has an outlook')
  const { how, why, proof, toc, table, plan } = outlook
  const count = how === 'parts' ? plan?.count : undefined
  return {
    blob: blob.digest,
    size: blob.size,
    how,
    why,
    proof: how === 'parts' ? proof : 'proven',
    ...(toc !== undefined && { format: toc.format }),
    fetchBytes: (count?.fetchBytes ?? blob.size) + table.bytes,
    requests: (count?.requests ?? 1) + table.requests,
    leastBytes: (count?.unitBytes ?? blob.size) + table.bytes,
    tableBytes: table.bytes,
    fileBytes: count?.heldBytes ?? 0,
    chunkBytes: count?.chunkBytes ?? 0,
    sameBytes: count?.sameBytes ?? 0,
    zeroBytes: count?.zeroBytes ?? 0,
  }
}

function sum(layers: readonly PlannedLayer[]): PlannedTotal {
  const total = (key: keyof PlannedTotal): number => layers.reduce((bytes, layer) => bytes + layer[key], 0)
  return {
    fetchBytes: total('fetchBytes'),
    requests: total('requests'),
    leastBytes: total('leastBytes'),
    tableBytes: total('tableBytes'),
    fileBytes: total('fileBytes'),
    chunkBytes: total('chunkBytes'),
    sameBytes: total('sameBytes'),
    zeroBytes: total('zeroBytes'),
  }
}
