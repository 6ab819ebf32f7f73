import { OnefoldError } from '../../error.ts'
import { loadLayerTypes } from '../../formats/all.ts'
import type { Descriptor, Platform } from '../../formats/oci/descriptor.ts'
import { checkLayerTypes } from '../../formats/oci/manifest.ts'
import { formatPlatform, hostPlatform, matchPlatform } from '../../formats/oci/platform.ts'
import { type Document, type Selected, selectAllImages, selectImage } from '../../formats/oci/select-image.ts'
import type { Source } from '../../sources/source.ts'

export interface SelectOptions {
  readonly platform?: Platform | undefined
  readonly allPlatforms?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Finds the images that are wanted of what a source's name stands for: one, unless all platforms are asked for. Throws
 * UNSUPPORTED for one with layers that nobody here can read.
 */
export async function selectImages(source: Source, top: Document, options: SelectOptions): Promise<Selected[]> {
  const images = await findImages(source, top, options)
  const layerTypes = await loadLayerTypes()
  for (const { manifest } of images) checkLayerTypes(manifest, layerTypes)
  return images
}

async function findImages(
  source: Source,
  top: Document,
  { platform, allPlatforms, signal }: SelectOptions,
): Promise<Selected[]> {
  const fetch = (descriptor: Descriptor): Promise<Uint8Array> => source.fetch(descriptor, { signal })
  if (allPlatforms === true) return selectAllImages(top, fetch)
  return [await selectImage(top, platform ?? hostPlatform(), fetch)]
}

/**
 * Throws NOT_FOUND for an image of another platform than was asked for by name; one that stands alone is otherwise
 * taken whatever it runs on.
 */
export function requirePlatform(wanted: Platform | undefined, image: Selected, platform: Platform): void {
  if (wanted === undefined || image.platform !== undefined || matchPlatform(wanted, platform) !== undefined) return
  const found = formatPlatform(platform)
  throw new OnefoldError('NOT_FOUND', `Cannot find an image for ${formatPlatform(wanted)}: there is one, for ${found}`)
}
