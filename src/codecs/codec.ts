/** Decodes one compressed blob, piece by piece, into memory the caller owns. */
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

/** A decoder that notes where one could start. */
export interface IndexingDecoder extends Decoder {
  /** What was noted of everything consumed, once the blob is at its end. */
  finish(): GzipIndex
}

export interface GzipIndex {
  readonly points: readonly IndexPoint[]
  /** sha256 of each span of the blob, as 64 hex digits. */
  readonly spanDigests: readonly string[]
}

export interface IndexPoint {
  readonly in: number
  readonly out: number
  readonly bits: number
  readonly window: Uint8Array
}
