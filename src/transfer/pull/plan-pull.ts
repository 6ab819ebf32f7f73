import type { Digest } from '../../digest.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Source } from '../../sources/source.ts'
import type { Store } from '../../store/store.ts'
import type { LayerOutlook } from '../fetch/layer-outlook.ts'
import { type ImagePlan, type LayerStep, planImages } from './plan-images.ts'
import type { PullOptions } from './pull-options.ts'
import { selectImages } from './select-images.ts'

/** Plan of a pull for people, found out without fetching content. */
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
  /** Reason for `how`, for people. */
  readonly why: string
  readonly proof: LayerOutlook['proof']
  /** Format of the layer's table, where there is one. */
  readonly format?: string
}

/** Bytes over the wire, and bytes of content by where they come from. */
export interface PlannedTotal {
  readonly fetchBytes: number
  readonly requests: number
  /** Bytes over the wire without the gaps that are read to save requests. */
  readonly leastBytes: number
  /** Bytes of tables of contents, which were read for the plan: part of the above. */
  readonly tableBytes: number
  /** Bytes in files that the store has. */
  readonly fileBytes: number
  /** Bytes in parts of other files of the store. */
  readonly chunkBytes: number
  /** Bytes in files that the image has twice. */
  readonly sameBytes: number
  /** Bytes in holes. */
  readonly zeroBytes: number
}

/**
 * Tells which bytes a pull would fetch and which it would not have to: makes the plan that a pull carries out, without
 * carrying it out.
 */
export async function planPull(store: Store, source: Source, options: PullOptions = {}): Promise<PullPlan> {
  const { signal } = options
  const top = await source.resolve({ signal })
  using index = await store.layerIndex()
  const planning = {
    store,
    source,
    options,
    findLayer: async (want: Parameters<typeof index.find>[0]) => {
      const known = index.find(want)
      return known !== undefined && store.hasRecipe(known.recipe) ? known : undefined
    },
    hold: () => {},
  }
  const images = (await planImages(planning, await selectImages(source, top, options))).map(describeImage)
  const total = sum(images.flatMap(({ layers }) => layers))
  return { name: options.name ?? source.name, top: top.descriptor.digest, images, total }
}

function describeImage(plan: ImagePlan): PlannedImage {
  const { image } = plan
  const { platform } = plan.kind === 'present' ? plan.record : plan.config
  const layers =
    plan.kind === 'present' ? plan.record.layers.map(({ blob }) => presentLayer(blob)) : plan.layers.map(describeStep)
  return { manifest: image.descriptor.digest, platform: formatPlatform(image.platform ?? platform), layers }
}

function describeStep(step: LayerStep): PlannedLayer {
  switch (step.how) {
    case 'present':
      return presentLayer(step.layer.blob)
    case 'again':
      return { ...presentLayer(step.layer.blob), why: 'it is in the image, or in another one of the pull, already' }
    case 'fetch':
      return describeFetch(step.outlook)
  }
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

function describeFetch(outlook: LayerOutlook): PlannedLayer {
  const { blob, how, why, proof, toc, table, plan } = outlook
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
