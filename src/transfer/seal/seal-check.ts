import { OnefoldError } from '../../error.ts'
import { type ImageConfig, parseConfig } from '../../formats/oci/image-config.ts'
import { type Manifest, parseManifest } from '../../formats/oci/manifest.ts'
import {
  type ImageDigest,
  type SealClaim,
  formatImageDigest,
  readSealClaims,
  sealKey,
} from '../../formats/oci/seal-claims.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { type DigestSubject, digestSubject, kindOfDigest } from './image-digests.ts'

/** Demands of a pull on the composefs image that the layers make. */
export interface SealOptions {
  /** Digest that the image has to have. */
  readonly expectImage?: ImageDigest
  /** Requires the image to say what its digest is. */
  readonly requireSealed?: boolean
  /** Takes an image although it says something else of itself. */
  readonly ignoreSeal?: boolean
}

/** Returns manifest and config of a stored image. */
export function storedDocuments(store: Store, record: ImageRecord): { manifest: Manifest; config: ImageConfig } {
  const { digest, mediaType } = record.manifest
  const manifest = parseManifest(store.blob(digest), { digest, mediaType })
  if (manifest.kind !== 'manifest') throw new OnefoldError('CORRUPT', `Cannot use record ${digest}: it is of an index`)
  return { manifest, config: parseConfig(store.blob(record.config.digest)) }
}

/**
 * Returns the digests that the image claims for itself, as far as they count; can be called before there are layers.
 */
export function relevantClaims(
  manifest: Pick<Manifest, 'annotations' | 'config'>,
  config: ImageConfig,
  { ignoreSeal, requireSealed }: SealOptions,
): SealClaim[] {
  if (ignoreSeal === true) return []
  const claims = readSealClaims(manifest, config)
  if (requireSealed !== true || claims.length > 0) return claims
  throw new OnefoldError(
    'NOT_FOUND',
    `Cannot accept image: it is not sealed, expected the digest of its tree under ${sealKey} in manifest or config`,
    { hint: 'Whoever makes the image adds it: onefold seal' },
  )
}

/**
 * Compares the layers with the digest that is expected, and with those that the image claims.
 * @throws DIGEST_MISMATCH unless they agree
 */
export async function checkSeal(
  subject: DigestSubject,
  claims: readonly SealClaim[],
  { expectImage }: SealOptions,
): Promise<void> {
  if (expectImage !== undefined && (await kindOfDigest(expectImage, subject)) === undefined)
    throw mismatch(`expected image digest ${formatImageDigest(expectImage)}`, subject)
  for (const { where, digest } of claims)
    if ((await kindOfDigest(digest, subject)) === undefined)
      throw mismatch(`its ${where} ${sealKey} says ${formatImageDigest(digest)}`, subject, ignoring)
}

/** Claim of an image about its composefs image, and the verdict of its stored layers. */
export interface SealState {
  readonly where: SealClaim['where']
  /** Claimed digest: `sha256:…` or `sha512:…`. */
  readonly digest: string
  /** Verdict: whether the layers have that digest, in one of the ways that can be computed. */
  readonly verdict: 'agrees' | 'differs'
  /** Name of the kind of digest that agrees. */
  readonly kind: string | undefined
}

export async function sealStates(store: Store, record: ImageRecord): Promise<SealState[]> {
  const { manifest, config } = storedDocuments(store, record)
  const states: SealState[] = []
  for (const { where, digest } of readSealClaims(manifest, config)) {
    const kind = await kindOfDigest(digest, digestSubject(store, record))
    const verdict = kind === undefined ? 'differs' : 'agrees'
    states.push({ where, digest: formatImageDigest(digest), verdict, kind: kind?.name })
  }
  return states
}

const ignoring =
  'Somebody changed the image after it was sealed, or sealed another one, or a bootable tree of it, which is not computed here. To take it all the same: onefold pull --ignore-seal'

function mismatch(expected: string, { image }: DigestSubject, hint?: string): OnefoldError {
  return new OnefoldError(
    'DIGEST_MISMATCH',
    `Cannot accept image: ${expected}, its layers make ${image}`,
    hint === undefined ? {} : { hint },
  )
}
