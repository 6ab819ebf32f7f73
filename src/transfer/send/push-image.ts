import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor, Platform } from '../../formats/oci/descriptor.ts'
import type { RegistryOptions } from '../../sources/registry/client.ts'
import { parseReference } from '../../sources/registry/reference.ts'
import { RegistryTarget } from '../../sources/registry/upload-target.ts'
import type { Store } from '../../store/store.ts'
import { type EncodeOptions, Encoder, type SentImage } from './encoder.ts'
import { type PushStats, PushTarget, siblings } from '../../sources/targets/push-target.ts'

export interface PushOptions extends EncodeOptions {
  readonly platform?: Platform | undefined
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  readonly registry?: RegistryOptions | undefined
  /** Where blobs lie while they go up; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
}

export interface PushResult {
  readonly reference: string
  /** Of the manifest or index that stands under the name now. */
  readonly top: Digest
  readonly images: readonly SentImage[]
  readonly stats: PushStats
}

/**
 * Puts an image of the store into a registry. Where that has every blob of the original, here or in another repository it
 * may mount them from, the original manifest goes up unchanged; otherwise the layers are compressed anew, and the manifest
 * gets another digest. Image ID (config digest) and diffIDs always stay.
 */
export async function pushImage(
  store: Store,
  name: string,
  reference: string,
  options: PushOptions = {},
): Promise<PushResult> {
  const place = parseReference(reference.replace(/^docker:\/\//, ''))
  const image = store.find(name, { platform: options.platform })
  options.onProgress?.({ type: 'step', step: 'pushing' })
  await using registry = new RegistryTarget(place, options.registry ?? {})
  await using target = new PushTarget(registry, { ...options, from: siblings(image, place) })
  await using encoder = new Encoder(store, target, options)
  const top = options.allPlatforms === true ? await encoder.all(image.top) : await encoder.image(image.record)
  if (top === undefined) throw new Error('an index was found by an image that it does not lead to')
  if (place.digest !== undefined && place.digest !== top.digest) throw otherDigest(registry, top)
  await target.name(top)
  return { reference: registry.name, top: top.digest, images: encoder.sent, stats: target.stats }
}

/** What was sent lies there under its own digest, which does no harm. */
function otherDigest(registry: RegistryTarget, { digest }: Descriptor): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot push to ${registry.name}: what is pushed has digest ${digest}`, {
    hint: 'Push to a tag instead.',
  })
}
