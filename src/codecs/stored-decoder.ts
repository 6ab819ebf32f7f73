import type { Decoder, Step } from './codec.ts'

/** Copies bytes that are not compressed. */
export class StoredDecoder implements Decoder {
  step(input: Uint8Array, output: Uint8Array): Step {
    const length = Math.min(input.length, output.length)
    output.set(input.subarray(0, length))
    return { consumed: length, produced: length }
  }

  end(): void {}

  [Symbol.dispose](): void {}
}
