import type { Digest, DiffId } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { openSource } from '../../sources/open-source.ts'
import type { Artifact } from '../../sources/source.ts'
import { parseDestination } from '../../sources/targets/destination.ts'
import { type TargetPlace, openTarget } from '../../sources/targets/open-target.ts'
import type { Store } from '../../store/store.ts'
import { Sender, type SentRecord } from '../send/sender.ts'
import { type SentImage, namesOf, sentImage } from '../send/sent-image.ts'
import { type ConvertFormat, type ConvertOptions, chooseFormat } from './convert-options.ts'
import { FormatLayers } from './format-layers.ts'

export interface ConvertResult {
  readonly destination: string
  readonly format: ConvertFormat
  /** Digest of the manifest or index that stands under the name now. */
  readonly top: Digest
  readonly images: readonly ConvertedImage[]
  /** Digest of the manifest of a second image, where the format has one: that of external tables, for example. */
  readonly companion?: Digest
}

export interface ConvertedImage extends SentImage {
  /** Digest of the artifact that goes with the image, where the format has one: its index, for example. */
  readonly attached?: Digest
  readonly layers: readonly ConvertedLayerResult[]
}

export interface ConvertedLayerResult {
  readonly original: Digest
  readonly digest: Digest
  readonly size: number
  readonly diffId: DiffId
}

/**
 * Writes an image of the store with its layers in another format to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or
 * `docker://REFERENCE`. Where the format leaves a tar as it is, so do diffIDs and the config; others change it, and then
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
  const chosen = await chooseFormat(format, options)
  const place = parsePlace(destination)
  const image = store.find(name, { platform: options.platform })
  options.onProgress?.({ type: 'step', step: 'converting' })
  const { signal, temporary, source } = options
  await using target = await openTarget(place, { signal, temporary, registry: source?.registry, near: namesOf(image) })
  if (target.name === undefined && chosen.writer.needsName?.(chosen.options) === true) throw needsName(destination)
  await using layers = await FormatLayers.load(store, chosen, options)
  const readReferrers = (digest: Digest): Promise<Artifact | undefined> => referrersAt(destination, digest, options)
  const sender = new Sender(store, target, layers, { ...options, readReferrers })
  const top = await sender.send(image)
  const companion = await sender.sendCompanion()
  const beside = [...(companion === undefined ? [] : [companion]), ...sender.referrers]
  await target.finish([{ descriptor: top, name: target.name }, ...beside])
  const result = { destination, format, top: top.digest, images: sender.sent.map(convertedImage) }
  return companion === undefined ? result : { ...result, companion: companion.descriptor.digest }
}

/** Reads `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker://REFERENCE`; USAGE for what holds no manifest, or one alone. */
function parsePlace(destination: string): TargetPlace {
  const place = parseDestination(destination)
  if (place.transport === 'docker-archive' || place.transport === 'tar' || place.transport === 'format')
    throw new OnefoldError(
      'USAGE',
      `Cannot convert to ${JSON.stringify(destination)}: it cannot say how layers are made`,
      { hint: 'Use oci:, oci-archive: or docker://.' },
    )
  if (place.transport === 'docker' && place.reference.digest !== undefined)
    throw new OnefoldError(
      'USAGE',
      `Cannot convert to ${JSON.stringify(destination)}: its digest is not known before`,
      {
        hint: 'Convert to a tag instead.',
      },
    )
  return place
}

/** Reads what refers to an image where it goes: there, others may have signed what we write a second time. */
async function referrersAt(
  destination: string,
  image: Digest,
  { source: options, signal }: ConvertOptions,
): Promise<Artifact | undefined> {
  try {
    await using source = await openSource(destination, options)
    return await source.related?.({ referrersOf: image }, { signal })
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

function convertedImage(sent: SentRecord): ConvertedImage {
  const { record, layers = [], attached } = sent
  return {
    ...sentImage(sent),
    ...(attached && { attached }),
    layers: layers.map(({ blob: { digest, size }, diffId }, i) => {
      return { original: record.layers[i]?.blob.digest ?? digest, digest, size, diffId }
    }),
  }
}

function needsName(destination: string): OnefoldError {
  const found = 'what lies beside the image is found by its name, and there is none'
  return new OnefoldError('USAGE', `Cannot convert to ${JSON.stringify(destination)}: ${found}`, {
    hint: `Name it: ${destination}:latest`,
  })
}
