import { createHash, hash, type Hash } from 'node:crypto'
import { OnefoldError } from './error.ts'

declare const brand: unique symbol

/** `sha256:…` or `sha512:…` of bytes as they travel: a blob, a manifest, a config. */
export type Digest = string & { readonly [brand]: 'Digest' }
/** `sha256:…` (or sha512) of a layer's *uncompressed* tar. Never interchangeable with a blob's digest. */
export type DiffId = string & { readonly [brand]: 'DiffId' }
/** 64 hex digits: the fs-verity sha256 digest (4 KiB blocks, no salt) that names an object or an image. */
export type VerityDigest = string & { readonly [brand]: 'VerityDigest' }
/** 128 hex digits: the fs-verity sha512 digest by which composefs-rs names objects and images. */
export type Verity512Digest = string & { readonly [brand]: 'Verity512Digest' }
/** 64 hex digits: the sha256 of a recipe before compression; the name of a stored layer. */
export type RecipeDigest = string & { readonly [brand]: 'RecipeDigest' }

export type Algorithm = 'sha256' | 'sha512'

const digestSyntax = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const hex256 = /^[0-9a-f]{64}$/

export function isDigest(text: string): text is Digest {
  return digestSyntax.test(text)
}

export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw badDigest(text)
  return text
}

export function parseDiffId(text: string): DiffId {
  if (!digestSyntax.test(text)) throw badDigest(text)
  return text as DiffId
}

export function parseVerityDigest(text: string): VerityDigest {
  if (!hex256.test(text)) throw badHex(text)
  return text as VerityDigest
}

/** Returns the digest that the 32 raw bytes at `at` are. */
export function verityDigestFrom(bytes: Buffer, at = 0): VerityDigest {
  if (at + 32 > bytes.length) throw badHex(bytes.toString('hex', at))
  return bytes.toString('hex', at, at + 32) as VerityDigest
}

export function parseRecipeDigest(text: string): RecipeDigest {
  if (!hex256.test(text)) throw badHex(text)
  return text as RecipeDigest
}

export function algorithmOf(digest: Digest | DiffId): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

export function hexOf(digest: Digest | DiffId): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Returns the digest of `bytes` (default sha256). */
export function digestOf(bytes: Uint8Array | string, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${hash(algorithm, bytes, 'hex')}` as Digest
}

/** Hashes a stream and compares at the end with the digest that was asked for. */
export class DigestCheck {
  readonly #want: Digest | DiffId
  readonly #hash: Hash

  constructor(want: Digest | DiffId) {
    this.#want = want
    this.#hash = createHash(algorithmOf(want))
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** Throws DIGEST_MISMATCH unless everything seen so far hashes to the wanted digest; `what` names it in the error. */
  finish(what: string): void {
    const got = `${algorithmOf(this.#want)}:${this.#hash.digest('hex')}`
    if (got !== this.#want)
      throw new OnefoldError(
        'DIGEST_MISMATCH',
        `Cannot accept ${what}: expected ${this.#want}, its bytes hash to ${got}`,
        { hint: 'They were changed on the way or where they lie: try again, or get them from elsewhere.' },
      )
  }
}

/** Checks bytes that are all there against a digest. */
export function checkDigest(bytes: Uint8Array, want: Digest | DiffId, what: string): void {
  const check = new DigestCheck(want)
  check.update(bytes)
  check.finish(what)
}

function badDigest(text: string): OnefoldError {
  return new OnefoldError(
    'BAD_NAME',
    `Cannot read digest ${JSON.stringify(text.slice(0, 200))}: expected sha256: and 64, or sha512: and 128, lower-case hex digits`,
  )
}

function badHex(text: string): OnefoldError {
  return new OnefoldError(
    'BAD_NAME',
    `Cannot read digest ${JSON.stringify(text.slice(0, 200))}: expected 64 lower-case hex digits`,
  )
}
