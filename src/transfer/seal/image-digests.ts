import type { Algorithm, VerityDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import type { ImageDigest } from '../../formats/oci/seal-claims.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { type ComposefsRsIdOptions, type StoredContents, composefsRsId, storedContents } from './composefs-rs-id.ts'
import { composeLayers } from '../ensure-image.ts'

/**
 * Digests that the layers of one image have: there is more than one way to make a tree of layers, and a tree into an
 * image, and a digest that somebody sealed says nothing of how it came about. So it is compared with all that can be
 * computed here.
 */

/** Image whose digests are wanted: in the store, or in a transaction. */
export interface DigestSubject extends StoredContents {
  /** Digest of its composefs image as it is stored. */
  readonly image: VerityDigest
  readonly keepSelinux: boolean
}

/**
 * Returns the subject for an image of the store.
 * @throws CORRUPT when the record names no image
 */
export function digestSubject(store: Store, record: ImageRecord): DigestSubject {
  const { keepSelinux } = record
  const image = record.images.default
  if (image === undefined)
    throw new OnefoldError('CORRUPT', `Cannot use record ${record.manifest.digest}: it names no image`)
  return { ...storedContents(store, record), image, keepSelinux }
}

/** One way to compute an image digest. */
export interface DigestKind {
  /** Name for reports: `composefs`. */
  readonly name: string
  readonly algorithm: Algorithm
  /** Returns lower-case hex; undefined where the layers have no digest of this kind. */
  compute(subject: DigestSubject): string | undefined | Promise<string | undefined>
}

/** All kinds of digests, the cheapest first. */
export const digestKinds: readonly DigestKind[] = [
  { name: 'composefs', algorithm: 'sha256', compute: ({ image }) => image },
  {
    // Sealed by somebody who decided otherwise about the labels that layers bring.
    name: 'composefs, security.selinux the other way',
    algorithm: 'sha256',
    compute: (subject) => composeLayers(subject, !subject.keepSelinux).digest,
  },
  ...composefsRsKinds(),
]

/** Returns every way that composefs-rs has, but for bootable images, whose labels come from a policy. */
function composefsRsKinds(): DigestKind[] {
  const layouts = [1, 2] as const
  return (['sha256', 'sha512'] as const).flatMap((algorithm) =>
    layouts.flatMap((layout) =>
      [false, true].map((keepUserXattrs): DigestKind => ({
        name: `composefs-rs, layout ${layout}${keepUserXattrs ? ', user.* kept' : ''}`,
        algorithm,
        compute: (subject) => idUnlessRefused(subject, { algorithm, layout, keepUserXattrs }),
      })),
    ),
  )
}

async function idUnlessRefused(subject: DigestSubject, options: ComposefsRsIdOptions): Promise<string | undefined> {
  try {
    return await composefsRsId(subject, options)
  } catch (error) {
    if (hasCode(error, 'UNSUPPORTED') || hasCode(error, 'BAD_FORMAT')) return undefined
    throw error
  }
}

/** Returns the kind of digest that `want` is of these layers; undefined when it is none. */
export async function kindOfDigest(want: ImageDigest, subject: DigestSubject): Promise<DigestKind | undefined> {
  for (const kind of digestKinds)
    if (kind.algorithm === want.algorithm && (await kind.compute(subject)) === want.hex) return kind
  return undefined
}
