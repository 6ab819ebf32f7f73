/**
 * Makes the index of an image where it is, without touching it: a table for every layer that is worth one, and a manifest
 * that has the image's manifest as its subject.
 */
import { DigestCheck, type Digest, digestOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { IndexMaker, IndexedLayer } from '../../formats/format.ts'
import type { OptionSpecs, OptionsOf } from '../../formats/format-options.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { Selected } from '../../formats/oci/select-image.ts'
import { openSource } from '../../sources/open-source.ts'
import { parseSourceName } from '../../sources/source-name.ts'
import type { Artifact, Source } from '../../sources/source.ts'
import { type TargetPlace, openTarget } from '../../sources/targets/open-target.ts'
import type { Target } from '../../sources/targets/target.ts'
import { indexingCodecs } from '../indexing-codecs.ts'
import { selectImages } from '../pull/select-images.ts'
import { attachArtifact } from '../send/attach-artifact.ts'
import { type IndexOptions, chooseAttacher } from './index-options.ts'

export interface IndexResult {
  readonly images: readonly IndexedImageResult[]
}

export interface IndexedImageResult {
  readonly image: Digest
  readonly platform: string | undefined
  /** Digest of the index's manifest; undefined when no layer is worth a table. */
  readonly index: Digest | undefined
  /** Number of bytes in all its tables. */
  readonly tableBytes: number
  readonly layers: readonly { readonly layer: Digest; readonly table: Digest | undefined }[]
}

/**
 * Makes the index of an image and attaches it.
 * @param reference an image in a registry, or `oci:DIR[:TAG]`; throws USAGE for other places, which can hold no index
 */
export async function indexImage(reference: string, options: IndexOptions = {}): Promise<IndexResult> {
  const { onProgress, signal } = options
  const { attacher, options: chosen } = await chooseAttacher(options)
  await using target = await openTarget(placeOf(reference), { registry: options.source?.registry, signal })
  await using source = await openSource(reference, options.source)
  onProgress?.({ type: 'step', step: 'resolving' })
  const work: Work = { source, target, maker: await attacher.load(), chosen, options }
  const images: IndexedImageResult[] = []
  const top = await source.resolve({ signal })
  for (const image of await selectImages(source, top, options)) images.push(await indexOne(work, image))
  return { images }
}

/** The places that images are read from and written beside, and what is to be made. */
interface Work {
  readonly source: Source
  readonly target: Target
  readonly maker: IndexMaker
  readonly chosen: OptionsOf<OptionSpecs>
  readonly options: IndexOptions
}

function placeOf(reference: string): TargetPlace {
  const place = parseSourceName(reference)
  if (place.transport === 'docker') return place
  if (place.transport === 'oci') return { transport: 'oci', path: place.path, image: place.image }
  throw new OnefoldError(
    'USAGE',
    `Cannot write beside ${JSON.stringify(reference)}: expected an image in a registry, or oci:DIR[:TAG]`,
  )
}

async function indexOne(work: Work, image: Selected): Promise<IndexedImageResult> {
  const { maker, chosen } = work
  const indexed: IndexedLayer[] = []
  const layers: { layer: Digest; table: Digest | undefined }[] = []
  for (const layer of image.manifest.layers) {
    const index = maker.wants(layer, chosen) ? await readLayer(work, layer) : undefined
    layers.push({ layer: layer.digest, table: index && digestOf(index) })
    if (index !== undefined) indexed.push({ blob: layer, index })
  }
  return {
    image: image.descriptor.digest,
    platform: image.platform && formatPlatform(image.platform),
    index: indexed.length === 0 ? undefined : await attach(work, image, indexed),
    tableBytes: indexed.reduce((sum, { index }) => sum + index.length, 0),
    layers,
  }
}

/** Makes the table of a layer while its blob comes by, which is checked against its digest. */
async function readLayer({ source, maker, chosen, options }: Work, layer: Descriptor): Promise<Uint8Array> {
  const { signal, onProgress } = options
  const { digest, size } = layer
  onProgress?.({ type: 'step', step: 'indexing' })
  const check = new DigestCheck(digest)
  using builder = maker.build(layer, chosen, indexingCodecs)
  let done = 0
  for await (const chunk of source.blob(layer, { lent: true, signal })) {
    check.update(chunk)
    done += chunk.length
    onProgress?.({ type: 'layer', digest, size, done, finished: done === size })
    builder.write(chunk)
  }
  check.finish(`layer ${digest}`)
  return builder.finish()
}

async function attach(
  { source, target, maker, chosen, options: { signal } }: Work,
  { descriptor: image }: Selected,
  indexed: readonly IndexedLayer[],
): Promise<Digest> {
  const readReferrers = async (digest: Digest): Promise<Artifact | undefined> =>
    source.related?.({ referrersOf: digest }, { signal })
  const artifact = maker.artifact(image, indexed, chosen)
  const { descriptor, list } = await attachArtifact(target, image.digest, artifact, readReferrers)
  if (list !== undefined) await target.finish([list])
  return descriptor.digest
}
