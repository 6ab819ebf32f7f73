import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor, Platform } from '../../formats/oci/descriptor.ts'
import type { RegistryOptions } from '../../sources/registry/client.ts'
import { parseReference } from '../../sources/registry/reference.ts'
import { openTarget } from '../../sources/targets/open-target.ts'
import type { PushStats, RegistryTarget } from '../../sources/targets/registry-target.ts'
import type { Store } from '../../store/store.ts'
import { type RecompressOptions, RecompressedLayers } from './recompressed-layers.ts'
import { Sender } from './sender.ts'
import { type SentImage, namesOf, sentImage } from './sent-image.ts'

export interface PushOptions extends RecompressOptions {
  readonly platform?: Platform | undefined
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  readonly registry?: RegistryOptions | undefined
  /** Folder for blobs while they go up; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
}

export interface PushResult {
  readonly reference: string
  /** Digest of the manifest or index that stands under the name now. */
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
  await using target = await openTarget({ transport: 'docker', reference: place }, { ...options, near: namesOf(image) })
  await using layers = new RecompressedLayers(store, options)
  const sender = new Sender(store, target, layers, options)
  const top = await sender.send(image)
  if (place.digest !== undefined && place.digest !== top.digest) throw otherDigest(target, top)
  await target.finish([{ descriptor: top, name: target.name }])
  return { reference: target.fullName, top: top.digest, images: sender.sent.map(sentImage), stats: target.stats }
}

/** Error for a reference by another digest; what was sent lies there under its own, which does no harm. */
function otherDigest({ fullName }: RegistryTarget, { digest }: Descriptor): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot push to ${fullName}: what is pushed has digest ${digest}`, {
    hint: 'Push to a tag instead.',
  })
}
