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

/** What a pull demands of the composefs image that the layers make. */
export interface SealOptions {
  /** The image has to have this digest. */
  readonly expectImage?: ImageDigest
  /** The image has to say what its digest is. */
  readonly requireSealed?: boolean
  /** Take an image although it says something else of itself. */
  readonly ignoreSeal?: boolean
}

/** What a stored image consists of besides its layers. */
export function storedDocuments(store: Store, record: ImageRecord): { manifest: Manifest; config: ImageConfig } {
  const { digest, mediaType } = record.manifest
  const manifest = parseManifest(store.blob(digest), { digest, mediaType })
  if (manifest.kind !== 'manifest') throw new OnefoldError('CORRUPT', `Cannot use record ${digest}: it is of an index`)
  return { manifest, config: parseConfig(store.blob(record.config.digest)) }
}

/** What the image says of itself, as far as it counts; can be asked before there are layers. */
export function claimsThatCount(
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

/** @throws DIGEST_MISMATCH unless the layers make what is expected, and what the image says of itself */
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

/** What an image says of its composefs image, and what its stored layers say to that. */
export interface SealState {
  readonly where: SealClaim['where']
  /** `sha256:…` or `sha512:…`. */
  readonly digest: string
  /** Whether the layers have that digest, in one of the ways that can be computed. */
  readonly verdict: 'agrees' | 'differs'
  /** Of the kind of digest that agrees. */
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
