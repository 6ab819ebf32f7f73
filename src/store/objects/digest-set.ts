import { randomBytes } from 'node:crypto'

const digestBytes = 32
const words = digestBytes / 4
const leastSlots = 1024

/**
 * Digests of 32 bytes, packed: a million take 40 MB, a set of a million strings four times that. Each has a number, in
 * the order in which they came, for who keeps more about them.
 *
 * The maker of an image chooses its digests to some extent. Places in the table are therefore found by a hash with secret
 * factors, so that nobody can make them all collide.
 */
export class DigestSet {
  /** Open addressing: a digest's number + 1, or 0. At most half of the slots are taken. */
  #slots = new Uint32Array(leastSlots)
  #digests = new Uint32Array((leastSlots / 2) * words)
  #size = 0
  readonly #factors = new Uint32Array(Uint8Array.from(randomBytes(digestBytes)).buffer)
  readonly #key = new Uint32Array(words)
  readonly #keyBytes = Buffer.from(this.#key.buffer)

  get size(): number {
    return this.#size
  }

  /** @param hex 64 lower-case hex digits */
  add(hex: string): number {
    this.#keyBytes.write(hex, 'hex')
    return this.#add()
  }

  /** The 32 bytes at `at`, which must be there. */
  addBytes(bytes: Uint8Array, at: number): number {
    for (let i = 0; i < digestBytes; i++) this.#keyBytes[i] = bytes[at + i] as number
    return this.#add()
  }

  has(hex: string): boolean {
    return this.indexOf(hex) >= 0
  }

  /** The digest's number, or −1. */
  indexOf(hex: string): number {
    this.#keyBytes.write(hex, 'hex')
    return (this.#slots[this.#find()] as number) - 1
  }

  indexOfBytes(bytes: Uint8Array, at: number): number {
    for (let i = 0; i < digestBytes; i++) this.#keyBytes[i] = bytes[at + i] as number
    return (this.#slots[this.#find()] as number) - 1
  }

  #add(): number {
    let slot = this.#find()
    const known = this.#slots[slot] as number
    if (known > 0) return known - 1
    if (2 * (this.#size + 1) > this.#slots.length) {
      this.#grow()
      slot = this.#find()
    }
    this.#digests.set(this.#key, this.#size * words)
    this.#slots[slot] = ++this.#size
    return this.#size - 1
  }

  /** The slot that the key has, or would get. */
  #find(): number {
    const mask = this.#slots.length - 1
    for (let slot = this.#hash(this.#key, 0) & mask; ; slot = (slot + 1) & mask) {
      const known = this.#slots[slot] as number
      if (known === 0 || this.#isKey((known - 1) * words)) return slot
    }
  }

  #isKey(at: number): boolean {
    for (let i = 0; i < words; i++) if (this.#digests[at + i] !== this.#key[i]) return false
    return true
  }

  #hash(from: Uint32Array, at: number): number {
    let sum = 0
    for (let i = 0; i < words; i++)
      sum = (sum ^ Math.imul(from[at + i] as number, (this.#factors[i] as number) | 1)) | 0
    sum ^= sum >>> 15
    return (Math.imul(sum, 0x2c1b3c6d) >>> 4) | 0
  }

  #grow(): void {
    const digests = new Uint32Array(2 * this.#digests.length)
    digests.set(this.#digests)
    this.#digests = digests
    this.#slots = new Uint32Array(2 * this.#slots.length)
    const mask = this.#slots.length - 1
    for (let number = 0; number < this.#size; number++) {
      let slot = this.#hash(digests, number * words) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = number + 1
    }
  }
}
