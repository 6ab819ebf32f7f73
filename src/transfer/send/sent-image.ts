import type { Digest } from '../../digest.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import type { StoredImage } from '../../store/store.ts'
import type { SentRecord } from './sender.ts'

export interface SentImage {
  readonly manifest: Digest
  readonly config: Digest
  readonly platform: string
  /** Digest by which the store knows the image. */
  readonly original: Digest
}

export function sentImage({ record, manifest, config }: SentRecord): SentImage {
  return { manifest, config, platform: formatPlatform(record.platform), original: record.manifest.digest }
}

/** Names of sources that may have blobs of an image: where it came from, and what the store calls it. */
export function namesOf({ record, names }: StoredImage): string[] {
  return [record.origin.source, ...names]
}
