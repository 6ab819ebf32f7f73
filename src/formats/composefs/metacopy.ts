/**
 * The value of the attribute by which overlayfs knows that a file's bytes lie elsewhere, and with which digest:
 *
 *     00 24 00 01   32 bytes of sha256      version 0, length 36, flags 0, algorithm 1
 *     00 44 00 02   64 bytes of sha512      in composefs-rs' images
 *     nothing                               when the digest is not known
 */
import type { VerityDigest } from '../../digest.ts'

interface DigestForm {
  readonly head: readonly number[]
  /** Bytes of the whole value. */
  readonly bytes: number
}

const sha256: DigestForm = { head: [0, 36, 0, 1], bytes: 36 }
const sha512: DigestForm = { head: [0, 68, 0, 2], bytes: 68 }

/** Offset of the digest in a value that has one. */
export const metacopyDigestAt = 4
/** Bytes of a value with a sha256 digest. */
export const metacopyBytes = sha256.bytes

export function writeMetacopyValue(digest: VerityDigest): Uint8Array {
  const form = digest.length === 64 ? sha256 : sha512
  return Buffer.from([...form.head, ...Buffer.from(digest, 'hex')])
}

/** The digest in a value that is not empty; undefined for one of another kind than sha256 and sha512. */
export function readMetacopyValue(value: Uint8Array): VerityDigest | undefined {
  const form = [sha256, sha512].find(
    ({ head, bytes }) => value.length === bytes && head.every((byte, i) => value[i] === byte),
  )
  if (form === undefined) return undefined
  return Buffer.from(value.subarray(metacopyDigestAt)).toString('hex') as VerityDigest
}
