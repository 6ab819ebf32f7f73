import { randomFillSync } from 'node:crypto'
import { type FlatTree, field, inodeWords } from '../flat/flat-tree.ts'

/**
 * Finds inodes with the same digest. Digests come from outside and may be chosen to collide, so the hash has a secret
 * key: two of them meet in one slot with a chance of 2^-16 at most, whatever they are (the NH family of hashes).
 */
export class DigestTable {
  readonly #tree: FlatTree
  /** The number of an inode and one, or 0; at most half of the slots are used. */
  readonly #slots: Int32Array
  readonly #ids: Uint32Array
  readonly #key = randomFillSync(new Uint32Array(16))

  /** `ids`: of the inodes by number. */
  constructor(tree: FlatTree, ids: Uint32Array) {
    this.#tree = tree
    this.#ids = ids
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * ids.length + 2)))
  }

  /** The first inode that was added with the digest of this one: itself, or an earlier one. */
  add(number: number): number {
    const { words } = this.#tree
    const mask = this.#slots.length - 1
    const at = (this.#ids[number] as number) * inodeWords + field.digest
    for (let slot = this.#hash(words, at) & mask; ; slot = (slot + 1) & mask) {
      const first = (this.#slots[slot] as number) - 1
      if (first < 0) {
        this.#slots[slot] = number + 1
        return number
      }
      if (isSame(words, at, (this.#ids[first] as number) * inodeWords + field.digest)) return first
    }
  }

  #hash(words: Uint32Array, at: number): number {
    const key = this.#key
    let sum = 0
    for (let i = 0; i < digestWords; i++) {
      const word = words[at + i] as number
      const low = ((word & 0xffff) + (key[2 * i] as number)) & 0xffff
      const high = ((word >>> 16) + (key[2 * i + 1] as number)) & 0xffff
      sum = (sum + Math.imul(low, high)) | 0
    }
    // The slot takes the lower bits, of which few would depend on the upper ones.
    return Math.imul(sum ^ (sum >>> 15), 0x9e3779b1) >>> 8
  }
}

const digestWords = 8

function isSame(words: Uint32Array, a: number, b: number): boolean {
  for (let i = 0; i < digestWords; i++) if (words[a + i] !== words[b + i]) return false
  return true
}
