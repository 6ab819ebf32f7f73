import { createRequire } from 'node:module'

type Noble = typeof import('@noble/hashes/blake3.js')

let noble: Noble | undefined

/** BLAKE3 with its usual 256 bits, which Node's OpenSSL does not have; loaded when a format first needs it. */
export class Blake3 {
  readonly #hash

  constructor() {
    noble ??= createRequire(import.meta.url)('@noble/hashes/blake3.js') as Noble
    this.#hash = noble.blake3.create()
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** Returns 64 hex digits. */
  digest(): string {
    return Buffer.from(this.#hash.digest()).toString('hex')
  }
}
