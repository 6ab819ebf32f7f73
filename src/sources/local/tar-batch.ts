const batchBytes = 1024 * 1024

/** Joins the small pieces of a tar that is being made, since each chunk costs its reader something. */
export class TarBatch {
  readonly #isLent: boolean
  #batch = new Uint8Array(batchBytes)
  #used = 0

  /** @param isLent whether the bytes that `add` and `rest` give need only be good until they are called again */
  constructor(isLent: boolean) {
    this.#isLent = isLent
  }

  /** Takes a piece; gives the bytes that have to be handed on before the next one. */
  *add(piece: Uint8Array): Generator<Uint8Array> {
    if (this.#used + piece.length > batchBytes) yield* this.rest()
    if (piece.length > batchBytes) {
      yield this.#isLent ? piece : piece.slice()
      return
    }
    this.#batch.set(piece, this.#used)
    this.#used += piece.length
  }

  /** Gives everything that was taken and not handed on. */
  *rest(): Generator<Uint8Array> {
    if (this.#used > 0) yield this.#batch.subarray(0, this.#used)
    if (!this.#isLent) this.#batch = new Uint8Array(batchBytes)
    this.#used = 0
  }
}
