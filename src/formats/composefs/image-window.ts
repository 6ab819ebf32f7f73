/** The part of an image that is being written: all of it, or a stretch that moves on. */

/** Bytes of a window that moves: many times what one inode with its attributes, or one file's blocks, can take. */
export const windowSize = 1 << 20

export class Window {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly #sink: ((piece: Uint8Array) => void) | undefined
  /** The position in the image of the window's first byte, and how many from there on have been asked for. */
  #start = 0
  #used = 0

  /** @param bytes all zero; without a sink as long as the image */
  constructor(bytes: Uint8Array, sink?: (piece: Uint8Array) => void) {
    this.bytes = bytes
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#sink = sink
  }

  /** The offset in `bytes` for what stands at a position of the image. Positions ascend; what is skipped is zero. */
  need(position: number, length: number): number {
    if (position + length - this.#start > this.bytes.length) this.#moveTo(position)
    this.#used = position + length - this.#start
    return position - this.#start
  }

  /** Hands on the rest of an image of so many bytes. */
  end(length: number): void {
    while (this.#start + this.bytes.length < length) this.#moveTo(Math.min(length, this.#start + this.bytes.length))
    this.#sink?.(this.bytes.subarray(0, length - this.#start))
  }

  #moveTo(position: number): void {
    if (this.#sink === undefined) throw new RangeError(`a window of ${this.bytes.length} bytes cannot move on`)
    while (this.#start < position) {
      const piece = Math.min(this.bytes.length, position - this.#start)
      this.#sink(this.bytes.subarray(0, piece))
      this.bytes.fill(0, 0, this.#used)
      this.#used = 0
      this.#start += piece
    }
  }
}
