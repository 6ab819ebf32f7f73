import { OnefoldError } from '../error.ts'

/** Decoder of one compressed stream, piece by piece, into memory the caller owns. */
export interface Decoder extends Disposable {
  /** Consumes from `input` and fills `output` as far as either goes. */
  step(input: Uint8Array, output: Uint8Array): Step
  /** Throws BAD_FORMAT when the input ended in the middle of a member or frame. */
  end(): void
}

export interface Step {
  readonly consumed: number
  readonly produced: number
}

/** Decoder of a gzip blob that notes on its way where one could start. */
export interface IndexingDecoder extends Decoder {
  /** Returns the index of everything consumed, once the blob is at its end. */
  finish(): GzipIndex
}

export interface GzipIndex {
  readonly points: readonly IndexPoint[]
  /** sha256 of the blob from each point to the next, in hex; where a point has bits, their byte is part of both. */
  readonly spanDigests: readonly string[]
}

/** Place in a gzip blob to start at; `window` is a copy of the 32 KiB of output before it, with zeros in front. */
export interface IndexPoint {
  readonly in: number
  readonly out: number
  readonly bits: number
  readonly window: Uint8Array
}

/**
 * Encoder of whole gzip members (RFC 1952) or zstd frames (RFC 8878), each from nothing but its own bytes. What comes
 * out depends on what goes in, the level and the libraries' versions; see deflate-block.ts for processors.
 */
export interface MemberEncoder extends Disposable {
  /** Writes one member or frame into `output`, which has room for encodedMax(); returns its length. */
  encode(input: Uint8Array, output: Uint8Array): number
}

/** Returns a size that no gzip member or zstd frame of `length` bytes exceeds, even if they do not compress. */
export function encodedMax(length: number): number {
  return length + (length >> 3) + 1024
}

const nothing = new Uint8Array(0)

/**
 * Drains a decoder, which it owns: takes input in pieces of any size, and fills rooms of any size with what they decode
 * to.
 *
 *     drain.give(piece)
 *     for (let length = drain.read(room); length > 0; length = drain.read(room)) use(room.subarray(0, length))
 */
export class Drain implements Disposable {
  readonly #decoder: Decoder
  readonly #what: string
  #rest: Uint8Array = nothing
  /** True when the decoder filled the last room, and may have more to give than its input says. */
  #mayHold = false

  /** @param what completes "Cannot decompress …" in errors */
  constructor(decoder: Decoder, what: string) {
    this.#decoder = decoder
    this.#what = what
  }

  /** Takes the next input, which must stay as it is until read() has returned 0. */
  give(input: Uint8Array): void {
    if (this.#rest.length > 0) throw new Error(`${this.#rest.length} bytes of input have not been decoded yet`)
    this.#rest = input
  }

  /** Fills `room` from its start, as far as one step goes; returns the number of bytes, 0 when more input is needed. */
  read(room: Uint8Array): number {
    while (this.#rest.length > 0 || this.#mayHold) {
      const { consumed, produced } = this.#decoder.step(this.#rest, room)
      if (consumed === 0 && produced === 0 && this.#rest.length > 0) throw this.#stuck()
      if (consumed > 0) this.#rest = consumed === this.#rest.length ? nothing : this.#rest.subarray(consumed)
      this.#mayHold = produced === room.length
      if (produced > 0) return produced
    }
    return 0
  }

  /** Throws BAD_FORMAT when the input ended in the middle of a member or frame. */
  end(): void {
    this.#decoder.end()
  }

  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]()
  }

  #stuck(): OnefoldError {
    return new OnefoldError('BAD_FORMAT', `Cannot decompress ${this.#what}: the decoder is stuck`)
  }
}
