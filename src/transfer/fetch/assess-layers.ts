import type { Source } from '../../sources/source.ts'
import type { WantedLayer } from '../pull/import-layers.ts'
import { bindingOf } from './find-claims.ts'
import { type LayerOutlook, type OutlookOptions, type PartialPolicy, wholeLayer } from './layer-outlook.ts'

/** Smallest blob worth a look at its index: a smaller one arrives before its index could be read. */
const blobMin = 64 * 1024

/** Decides for each of these layers what is best done, in their order. */
export async function assessLayers(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
): Promise<LayerOutlook[]> {
  const { isEmpty } = options.store
  const candidates: WantedLayer[] = []
  const outlooks = new Map<WantedLayer, LayerOutlook>()
  for (const layer of layers) {
    const why = await reasonForWhole(source, layer, options.policy, isEmpty)
    if (why === undefined) candidates.push(layer)
    else outlooks.set(layer, wholeLayer(layer, why))
  }
  for (const [layer, outlook] of await compare(source, candidates, options)) outlooks.set(layer, outlook)
  return layers.map((layer) => outlooks.get(layer) ?? wholeLayer(layer, 'nothing is known of it'))
}

/** Compares with the store. The code is loaded when there is an index to read: most layers have none. */
async function compare(
  source: Source,
  layers: readonly WantedLayer[],
  options: OutlookOptions,
): Promise<ReadonlyMap<WantedLayer, LayerOutlook>> {
  if (layers.length === 0) return new Map()
  const { compareWithStore } = await import('./compare-with-store.ts')
  return await compareWithStore(source, layers, options)
}

/** Returns why a layer is pulled whole without a look at its index; undefined for one that is worth it. */
async function reasonForWhole(
  source: Source,
  { blob }: WantedLayer,
  policy: PartialPolicy,
  isEmpty: boolean,
): Promise<string | undefined> {
  if (source.kind === 'plain') return 'it is a plain tree'
  if (policy === 'never') return 'that was asked for'
  if (policy === 'always') return undefined
  if ((await bindingOf(blob)) === undefined) return 'its manifest binds no table of contents'
  if (source.blobFile !== undefined) return 'it is on this machine'
  if (isEmpty) return 'the store is empty'
  return blob.size < blobMin ? 'it is small' : undefined
}
