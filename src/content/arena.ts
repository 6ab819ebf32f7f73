/** Largest piece of a file, in bytes: pieces that fit together are handed over at once. */
export const pieceMax = 1024 * 1024
const arenaBytes = 8 * pieceMax

/**
 * Memory for bytes on their way into files, used again and again; `onWrap` is called when all that was given out ends.
 */
export class Arena {
  readonly #memory = new Uint8Array(arenaBytes)
  readonly #onWrap: () => void
  #used = 0

  constructor(onWrap: () => void) {
    this.#onWrap = onWrap
  }

  /** Returns room for `length` bytes, at most pieceMax. */
  claim(length: number): Uint8Array {
    if (this.#used + length > arenaBytes) {
      this.#onWrap()
      this.#used = 0
    }
    this.#used += length
    return this.#memory.subarray(this.#used - length, this.#used)
  }
}
