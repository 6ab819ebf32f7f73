import type { Algorithm } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { ImageConfig } from './image-config.ts'
import type { Manifest } from './manifest.ts'

/**
 * Key under which an image says what its composefs image is: the fs-verity digest in hex, as an annotation of the
 * manifest, as an annotation of the config's descriptor, or as a label in the config (which is where composefs-rs and
 * bootc put it, with sha512). A signature of the manifest then covers every file of the merged tree.
 */
export const sealKey = 'containers.composefs.fsverity'

/** fs-verity digest of a composefs image. It does not say which tree of the layers it is of. */
export interface ImageDigest {
  readonly algorithm: Algorithm
  readonly hex: string
}

export interface SealClaim {
  readonly where: 'annotation' | 'config annotation' | 'label'
  readonly digest: ImageDigest
}

const digestSyntax = /^(?:(?:sha256:)?([0-9a-f]{64})|(?:sha512:)?([0-9a-f]{128}))$/

/**
 * Parses `HEX` or `ALGORITHM:HEX`.
 * @throws BAD_NAME
 */
export function parseImageDigest(text: string): ImageDigest {
  const [, sha256, sha512] = digestSyntax.exec(text) ?? []
  if (sha256 !== undefined) return { algorithm: 'sha256', hex: sha256 }
  if (sha512 !== undefined) return { algorithm: 'sha512', hex: sha512 }
  throw new OnefoldError(
    'BAD_NAME',
    `Cannot read image digest ${JSON.stringify(text.slice(0, 200))}: expected 64 (sha256) or 128 (sha512) lower-case hex digits`,
  )
}

export function formatImageDigest({ algorithm, hex }: ImageDigest): string {
  return `${algorithm}:${hex}`
}

/**
 * Reads all that an image says of its composefs image; the image's maker wrote it, so it is a claim to be checked.
 * @throws BAD_FORMAT for what no digest can be
 */
export function readSealClaims(manifest: Pick<Manifest, 'annotations' | 'config'>, config: ImageConfig): SealClaim[] {
  const places = [
    ['annotation', manifest.annotations[sealKey]],
    ['config annotation', manifest.config.annotations?.[sealKey]],
    ['label', config.run.labels[sealKey]],
  ] as const
  return places.flatMap(([where, text]) => (text === undefined ? [] : [{ where, digest: readClaim(where, text) }]))
}

function readClaim(where: string, text: string): ImageDigest {
  try {
    return parseImageDigest(text)
  } catch (cause) {
    const found = JSON.stringify(text.slice(0, 200))
    throw new OnefoldError(
      'BAD_FORMAT',
      `Cannot read ${where} ${sealKey}: it is ${found}, expected an fs-verity digest`,
      {
        cause,
      },
    )
  }
}
