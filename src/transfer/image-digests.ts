import type { Algorithm, VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { type ImageDigest, formatImageDigest } from '../formats/oci/seal.ts'
import type { ImageRecord } from '../store/record.ts'
import type { Store } from '../store/store.ts'
import { type StoredLayers, composeLayers } from './image.ts'

/**
 * The digests that the layers of one image have: there is more than one way to make a tree of layers, and a tree into an
 * image, and a digest that somebody sealed says nothing of how it came about. So it is compared with all that can be
 * computed here.
 */

/** An image whose digests are wanted: in the store, or in a transaction. */
export interface DigestSubject extends StoredLayers {
  /** Of its composefs image as it is stored. */
  readonly image: VerityDigest
  readonly keepSelinux: boolean
}

/** @throws CORRUPT when the record names no image */
export function digestSubject(store: Store, record: ImageRecord): DigestSubject {
  const { layers, keepSelinux } = record
  const image = record.images.default
  if (image === undefined)
    throw new OnefoldError('CORRUPT', `Cannot use record ${record.manifest.digest}: it names no image`)
  return { image, layers, keepSelinux, readRecipe: (digest) => store.recipe(digest) }
}

/** One way to an image digest. */
export interface DigestKind {
  /** Named in reports: `composefs`. */
  readonly name: string
  readonly algorithm: Algorithm
  /** Lower-case hex; undefined where the layers have no digest of this kind. */
  compute(subject: DigestSubject): string | undefined | Promise<string | undefined>
}

/** The cheapest first. */
export const digestKinds: readonly DigestKind[] = [
  { name: 'composefs', algorithm: 'sha256', compute: ({ image }) => image },
  {
    // Sealed by somebody who decided otherwise about the labels that layers bring.
    name: 'composefs, security.selinux the other way',
    algorithm: 'sha256',
    compute: (subject) => composeLayers(subject, !subject.keepSelinux).digest,
  },
]

/**
 * The kind of digest that `want` is of these layers; undefined when it is none.
 * @throws UNSUPPORTED when no digest of its algorithm can be computed
 */
export async function kindOfDigest(want: ImageDigest, subject: DigestSubject): Promise<DigestKind | undefined> {
  const kinds = digestKinds.filter(({ algorithm }) => algorithm === want.algorithm)
  if (kinds.length === 0)
    throw new OnefoldError(
      'UNSUPPORTED',
      `Cannot check image digest ${formatImageDigest(want)}: no ${want.algorithm} digest of an image can be computed here`,
      { hint: `Supported are: ${digestKinds.map(({ name, algorithm }) => `${algorithm} (${name})`).join('; ')}.` },
    )
  for (const kind of kinds) if ((await kind.compute(subject)) === want.hex) return kind
  return undefined
}
