/**
 * Makes the SOCI index of an image where it is, without touching it: a zTOC for every layer that is large enough, and a
 * manifest that has the image's manifest as its subject (version 1 of the format).
 */
import { type Digest, digestOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Descriptor, type Platform, describeBlob } from '../../formats/oci/descriptor.ts'
import { parseArtifact, writeIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { formatPlatform, hostPlatform } from '../../formats/oci/platform.ts'
import { type Selected, selectAllImages, selectImage } from '../../formats/oci/select-image.ts'
import {
  type IndexedLayer,
  buildToolAnnotation,
  emptyConfig,
  sociIndexV1,
  writeSociIndex,
} from '../../formats/soci/index-manifest.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import { openSource } from '../../sources/open-source.ts'
import { type Source, referrersTag } from '../../sources/source.ts'
import { defaultLimits } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import { buildTool, buildZtoc } from './build-ztoc.ts'
import { type SideTarget, openSideTarget } from './side-target.ts'

export interface IndexOptions {
  readonly platform?: Platform | undefined
  readonly allPlatforms?: boolean | undefined
  /** Bytes of tar between two places where decompression can start; default 4 MiB. */
  readonly spanSize?: number | undefined
  /** Blobs below this get no table: they are as quickly pulled whole; default 10 MiB. */
  readonly minLayerSize?: number | undefined
  /** Index zstd layers too, in a way that only onefold reads. */
  readonly zstd?: boolean | undefined
  readonly source?: SourceOptions | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

export interface IndexResult {
  readonly images: readonly IndexedImageResult[]
}

export interface IndexedImageResult {
  readonly image: Digest
  readonly platform: string | undefined
  /** Of the index's manifest; undefined when no layer is large enough. */
  readonly index: Digest | undefined
  /** Bytes of all its zTOCs. */
  readonly ztocBytes: number
  readonly layers: readonly { readonly layer: Digest; readonly ztoc: Digest | undefined }[]
}

export const defaultSpanSize = 4 * 2 ** 20
export const defaultMinLayerSize = 10 * 2 ** 20

/**
 * @param reference an image in a registry, or `oci:DIR[:TAG]`; throws USAGE for other places, which can hold no index
 */
export async function indexImage(reference: string, options: IndexOptions = {}): Promise<IndexResult> {
  const { onProgress, spanSize = defaultSpanSize } = options
  checkSpanSize(spanSize)
  await using target = await openSideTarget(reference, options)
  await using source = await openSource(reference, options.source)
  onProgress?.({ type: 'step', step: 'resolving' })
  const images: IndexedImageResult[] = []
  for (const image of await select(source, options)) images.push(await indexOne(source, target, image, options))
  return { images }
}

async function select(source: Source, { platform, allPlatforms, signal }: IndexOptions): Promise<Selected[]> {
  const top = await source.resolve({ signal })
  const fetch = (descriptor: Descriptor): Promise<Uint8Array> => source.fetch(descriptor, { signal })
  if (allPlatforms === true) return selectAllImages(top, fetch)
  return [await selectImage(top, platform ?? hostPlatform(), fetch)]
}

async function indexOne(
  source: Source,
  target: SideTarget,
  image: Selected,
  options: IndexOptions,
): Promise<IndexedImageResult> {
  const { spanSize = defaultSpanSize, minLayerSize = defaultMinLayerSize } = options
  const layers: IndexedLayer[] = []
  const found: { layer: Digest; ztoc: Digest | undefined }[] = []
  for (const layer of image.manifest.layers) {
    const bytes = layer.size < minLayerSize ? undefined : await indexLayer(source, layer, options)
    const ztoc = bytes && { digest: digestOf(bytes), size: bytes.length }
    found.push({ layer: layer.digest, ztoc: ztoc?.digest })
    if (bytes === undefined || ztoc === undefined) continue
    await target.putBlob(ztoc, bytes)
    layers.push({ layer, ztoc, spanSize })
  }
  const index = layers.length === 0 ? undefined : await attach(source, target, image, layers, options)
  return {
    image: image.descriptor.digest,
    platform: image.platform && formatPlatform(image.platform),
    index,
    ztocBytes: layers.reduce((sum, { ztoc }) => sum + ztoc.size, 0),
    layers: found,
  }
}

async function indexLayer(source: Source, layer: Descriptor, options: IndexOptions): Promise<Uint8Array> {
  const { spanSize = defaultSpanSize, zstd = false, signal, onProgress } = options
  const { digest, size } = layer
  let done = 0
  const tell = (bytes: number): void => {
    done += bytes
    onProgress?.({ type: 'layer', digest, size, done, finished: done === size })
  }
  onProgress?.({ type: 'step', step: 'indexing' })
  return await buildZtoc(source, layer, {
    spanSize,
    zstd,
    zstdWindowLog: defaultLimits.zstdWindowLog,
    signal,
    onBytes: tell,
  })
}

async function attach(
  source: Source,
  target: SideTarget,
  image: Selected,
  layers: readonly IndexedLayer[],
  { signal }: IndexOptions,
): Promise<Digest> {
  await target.putBlob({ digest: digestOf(emptyConfig), size: emptyConfig.length }, emptyConfig)
  const bytes = writeSociIndex(layers, { buildTool, subject: image.descriptor })
  const descriptor = describeBlob(mediaTypes.manifest, bytes)
  await target.putManifest(descriptor, bytes)
  await refer(source, target, image.descriptor.digest, descriptor, signal)
  return descriptor.digest
}

/** A registry with the referrers API has taken note by itself; for the others the list is kept under a tag. */
async function refer(
  source: Source,
  target: SideTarget,
  image: Digest,
  { mediaType, digest, size }: Descriptor,
  signal: AbortSignal | undefined,
): Promise<void> {
  const known = await source.related?.({ referrersOf: image }, { signal })
  const list = known && parseArtifact(known.bytes, known.descriptor)
  const before = list?.kind === 'index' ? list.manifests : []
  if (before.some((entry) => entry.digest === digest)) return
  // One of its kind for an image: readers take the first.
  const others = before.filter(({ artifactType }) => artifactType !== sociIndexV1)
  const annotations = { [buildToolAnnotation]: buildTool }
  const bytes = writeIndex({
    manifests: [{ mediaType, digest, size, annotations, artifactType: sociIndexV1 }, ...others],
  })
  await target.putTagged(describeBlob(mediaTypes.index, bytes), bytes, referrersTag(image))
}

/** Refuses (USAGE) what makes no sense, before anything is asked of anybody. */
export function checkSpanSize(spanSize: number): void {
  if (spanSize >= 64 * 1024 && spanSize <= 2 ** 30) return
  throw new OnefoldError('USAGE', `Cannot index with spans of ${spanSize} bytes: expected 64 KiB to 1 GiB`)
}
