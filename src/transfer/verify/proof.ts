import type { Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { ImageRecord, LayerRecord, Proof } from '../../store/records/image-record.ts'

/** State of proof of an image. */
export interface VerifiedImage {
  readonly manifest: Digest
  readonly image: VerityDigest | null
  readonly proof: Proof
  readonly layers: readonly VerifiedLayer[]
}

export interface VerifiedLayer {
  readonly blob: Digest
  readonly proof: Proof
  /** Reason for `proof`, for people. */
  readonly why: string
}

/** Returns what the store knows of the proof of an image; nothing is read but its record. */
export function proofOf({ manifest, images, layers }: ImageRecord): VerifiedImage {
  const verified = layers.map((layer) => ({ blob: layer.blob.digest, proof: layer.proof, why: proofReason(layer) }))
  return { manifest: manifest.digest, image: images.default ?? null, proof: weakestProof(layers), layers: verified }
}

/** Returns the state of the weakest layer, which is that of the image. */
export function weakestProof(layers: readonly Pick<LayerRecord, 'proof'>[]): Proof {
  if (layers.some(({ proof }) => proof === 'failed')) return 'failed'
  return layers.every(({ proof }) => proof === 'proven') ? 'proven' : 'toc-only'
}

/** Explains what a layer's state of proof rests on. */
export function proofReason({ proof, toc }: LayerRecord): string {
  switch (proof) {
    case 'proven':
      return 'its tar was hashed and has the diffID'
    case 'toc-only':
      return `its files match a table of contents (${toc?.format ?? 'unknown'}) ${boundBy(toc?.digest)}; its tar was not seen`
    case 'failed':
      return 'it was found to be something else than its table of contents, or its config, says'
  }
}

function boundBy(digest: Digest | undefined): string {
  return digest === undefined ? 'that nothing binds' : `that the manifest binds (${digest})`
}

/** Throws DIGEST_MISMATCH for an image that was found to lie, unless that is wanted. */
export function requireSound(record: ImageRecord, allowFailed: boolean): void {
  if (allowFailed || weakestProof(record.layers) !== 'failed') return
  const layer = record.layers.find(({ proof }) => proof === 'failed')
  throw new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot use image ${record.manifest.digest}: layer ${layer?.blob.digest} is not what its table of contents, or its config, says`,
    { hint: 'Do not trust where it came from. --allow-failed mounts it all the same.' },
  )
}
