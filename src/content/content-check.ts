import { type Hash, createHash, hash } from 'node:crypto'
import { hexOf } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { ContentDigests } from '../formats/content-digests.ts'
import { VerityHasher } from '../formats/fsverity/verity-digest.ts'
import { Blake3 } from './blake3.ts'
import { crc32c } from '../formats/crc32c.ts'

/** Hashes bytes with every algorithm that a digest of them is known for, and compares at the end. */
export class ContentCheck {
  readonly #digests: ContentDigests
  readonly #what: string
  readonly #size: number | undefined
  #checks: readonly Check[] | undefined
  #whole: Uint8Array | undefined

  private constructor(digests: ContentDigests, what: string, size: number | undefined) {
    this.#digests = digests
    this.#what = what
    this.#size = size
  }

  /**
   * Returns undefined when there is no digest to check by.
   * @param what names the bytes in the error
   * @param size number of all bytes, where that is known: bytes that come in one piece are hashed in one call, by
   *   `finish()`
   */
  static of(digests: ContentDigests, what: string, size?: number): ContentCheck | undefined {
    return isEmpty(digests) ? undefined : new ContentCheck(digests, what, size)
  }

  /** Takes the next bytes, which have to stay as they are until `finish()` when they are all there are. */
  update(bytes: Uint8Array): void {
    if (bytes.length === this.#size) {
      this.#whole = bytes
      return
    }
    this.#checks ??= checksOf(this.#digests)
    for (const check of this.#checks) check.update(bytes)
  }

  /** Throws DIGEST_MISMATCH unless all bytes together have the digests. */
  finish(): void {
    if (this.#whole !== undefined) this.#finishWhole(this.#whole)
    else
      for (const { algorithm, want, digest } of this.#checks ?? checksOf(this.#digests))
        this.#compare(algorithm, want, digest())
  }

  #finishWhole(bytes: Uint8Array): void {
    const { sha256, ...others } = this.#digests
    if (sha256 !== undefined) this.#compare('sha256', hexOf(sha256), hash('sha256', bytes, 'hex'))
    if (isEmpty(others)) return
    for (const { algorithm, want, update, digest } of checksOf(others)) {
      update(bytes)
      this.#compare(algorithm, want, digest())
    }
  }

  #compare(algorithm: string, want: string, found: string): void {
    if (found === want) return
    throw new OnefoldError(
      'DIGEST_MISMATCH',
      `Cannot accept ${this.#what}: expected ${algorithm}:${want}, its bytes hash to ${algorithm}:${found}`,
      { hint: 'They were changed on the way or where they lie: try again, or get them from elsewhere.' },
    )
  }
}

function isEmpty(digests: ContentDigests): boolean {
  return Object.values(digests).every((digest) => digest === undefined)
}

interface Check {
  readonly algorithm: string
  readonly want: string
  readonly update: (bytes: Uint8Array) => void
  readonly digest: () => string
}

function checksOf({ sha256, sha512_256, blake3, verity, crc32c: crc }: ContentDigests): Check[] {
  const checks: Check[] = []
  if (sha256 !== undefined) checks.push(hashCheck('sha256', hexOf(sha256)))
  if (sha512_256 !== undefined) checks.push(hashCheck('sha512-256', sha512_256))
  if (blake3 !== undefined) checks.push(blake3Check(blake3))
  if (verity !== undefined) checks.push(verityCheck(verity))
  if (crc !== undefined) checks.push(crcCheck(crc))
  return checks
}

function hashCheck(algorithm: string, want: string): Check {
  const hash: Hash = createHash(algorithm)
  return { algorithm, want, update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') }
}

function blake3Check(want: string): Check {
  const hash = new Blake3()
  return { algorithm: 'blake3', want, update: (bytes) => hash.update(bytes), digest: () => hash.digest() }
}

function verityCheck(want: string): Check {
  const hasher = new VerityHasher()
  return {
    algorithm: 'fsverity-sha256',
    want,
    update: (bytes) => hasher.update(bytes),
    digest: () => hasher.digest(),
  }
}

function crcCheck(want: number): Check {
  let crc = 0
  const hex = (value: number): string => value.toString(16).padStart(8, '0')
  return {
    algorithm: 'crc32c',
    want: hex(want),
    update: (bytes) => void (crc = crc32c(bytes, crc)),
    digest: () => hex(crc),
  }
}
