import type { Digest, DiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Store } from '../../store/store.ts'
import { type ConvertedImage, Converter } from './converter.ts'
import { type ConvertFormat, type ConvertOptions, checkConvertOptions } from './convert-options.ts'
import { openConvertTarget } from './convert-target.ts'

export interface ConvertResult {
  readonly destination: string
  readonly format: ConvertFormat
  /** Of the manifest or index that stands under the name now. */
  readonly top: Digest
  readonly images: readonly ConvertedImage[]
  /** Of the manifest of the second image, where tables have one. */
  readonly externalToc?: Digest
}

export interface ConvertedLayerResult {
  readonly original: Digest
  readonly digest: Digest
  readonly size: number
  readonly diffId: DiffId
}

/**
 * Writes an image of the store with its layers in another format to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
 * `docker://REFERENCE`. Where the format leaves a tar as it is, so do diffIDs and the config; eStargz changes it, and then
 * they change as well. The same bytes come out on any number of cores. Nothing shows at the destination before it is whole.
 *
 * Throws UNSUPPORTED for what the format cannot hold, naming it, unless losses are accepted, and for layers that are not
 * proven; USAGE for options that do not go with the format.
 */
export async function convertImage(
  store: Store,
  name: string,
  format: ConvertFormat,
  destination: string,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  checkConvertOptions(format, options)
  const image = store.find(name, { platform: options.platform })
  options.onProgress?.({ type: 'step', step: 'converting' })
  await using target = openConvertTarget(destination, image, options)
  if (options.externalToc === true && target.name === undefined) throw needsName(destination)
  await using converter = new Converter(store, target.images, format, options)
  const top = options.allPlatforms === true ? await converter.all(image.top) : await converter.one(image.record)
  if (top === undefined) throw new Error('an index was found by an image that it does not lead to')
  const tables = await converter.externalTocs()
  await target.finish(top, tables && { descriptor: tables, suffix: externalTocSuffix })
  const result = { destination, format, top: top.digest, images: converter.converted }
  return tables === undefined ? result : { ...result, externalToc: tables.digest }
}

/** What readers put behind the name of an image to find its tables. */
const externalTocSuffix = '-esgztoc'

function needsName(destination: string): OnefoldError {
  const found = 'tables of their own are found by the name of the image, and there is none'
  return new OnefoldError('USAGE', `Cannot convert to ${JSON.stringify(destination)}: ${found}`, {
    hint: `Name it: ${destination}:latest`,
  })
}
