import type { Digest, VerityDigest } from '../digest.ts'

/**
 * Digests by which a format lets bytes be recognised: as many as it has, each optional. All but the last prove the
 * bytes; a CRC detects damage and proves nothing, since anybody can make other bytes with the same one.
 */
export interface ContentDigests {
  /** Plain sha256, `sha256:…`, as in most tables of contents. */
  readonly sha256?: Digest
  /** sha512 cut to 256 bits (FIPS 180-4, 5.3.6.2), 64 hex digits, as in casync. */
  readonly sha512_256?: string
  /** BLAKE3, 64 hex digits, as in Nydus. */
  readonly blake3?: string
  /** fs-verity with sha256 and blocks of 4 KiB: the name that an object has in the store. */
  readonly verity?: VerityDigest
  /** CRC-32C (Castagnoli), as an unsigned number, as in OverlayBD. */
  readonly crc32c?: number
}

export const noDigests: ContentDigests = {}

/** Returns the digests of bytes of which the sha256 is known, or nothing is. */
export function sha256Digests(sha256: Digest | undefined): ContentDigests {
  return sha256 === undefined ? noDigests : { sha256 }
}

/**
 * Returns one name for bytes with these digests, by which equal contents of one image are found: the same text for the
 * same digest of the same kind. Undefined where nothing proves what the bytes are.
 */
export function identityOf({ verity, sha256, sha512_256, blake3 }: ContentDigests): string | undefined {
  if (sha256 !== undefined) return sha256
  if (verity !== undefined) return `fsverity-sha256:${verity}`
  if (sha512_256 !== undefined) return `sha512-256:${sha512_256}`
  return blake3 === undefined ? undefined : `blake3:${blake3}`
}

/** Tells whether a reader of the bytes can tell them from any others. */
export function canProve(digests: ContentDigests): boolean {
  return identityOf(digests) !== undefined
}
