import { bad } from './erofs-error.ts'

/** The bytes of an image, and the integers in them, which are little-endian. */
export class ImageBytes {
  readonly buffer: Buffer
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  get length(): number {
    return this.buffer.length
  }

  /**
   * Throws BAD_FORMAT unless so many bytes lie in the image: to be called before any of them is read. `what` and `nid` are for
   * the message, which is hardly ever needed.
   */
  need(at: number, length: number, what: string, nid: number): void {
    if (at < 0 || at + length > this.buffer.length)
      throw bad(`${what} ${nid} ends at byte ${at + length} of ${this.buffer.length}`)
  }

  u8(at: number): number {
    return this.#view.getUint8(at)
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true)
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true)
  }

  /** Throws BAD_FORMAT for a number that is too large to count with. */
  u64(at: number, what: string, nid: number): number {
    const value = this.u32(at + 4) * 2 ** 32 + this.u32(at)
    if (value > 2 ** 53) throw bad(`${what} ${nid} is beyond 2^53`)
    return value
  }

  /** Seconds since 1970, two's complement. */
  seconds(at: number): number {
    const seconds = this.#view.getInt32(at + 4, true) * 2 ** 32 + this.u32(at)
    if (!Number.isSafeInteger(seconds)) throw bad('a time is beyond 2^53 seconds')
    return seconds
  }
}
