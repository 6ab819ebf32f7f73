import { OnefoldError } from '../../error.ts'
import { type Decoder, decoderFor } from '../../codecs/zlib.ts'

/** Bytes of memory that a zstd frame may ask for, as a power of two: what `zstd` itself takes without being told. */
const zstdWindowLog = 27
const outputSize = 1024 * 1024

/**
 * The bytes of a gzip or zstd stream, of any number of members or frames; other bytes come out as they are. The first
 * chunk must hold the magic. What is given is good until the next chunk is asked for. BAD_FORMAT for damage, LIMIT above
 * `maxBytes`: a few kilobytes can unfold to terabytes.
 */
export async function* decoded(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let decoder: Decoder | undefined
  let total = 0
  const output = new Uint8Array(outputSize)
  try {
    for await (const chunk of chunks) {
      decoder ??= decoderFor(chunk, zstdWindowLog)
      for (const piece of steps(decoder, chunk, output, what)) {
        total += piece.length
        if (total > maxBytes)
          throw new OnefoldError('LIMIT', `Cannot decompress "${what}": it unfolds to more than ${maxBytes} bytes`, {
            hint: 'Decompress it first if you trust it.',
          })
        yield piece
      }
    }
    decoder?.end()
  } finally {
    decoder?.[Symbol.dispose]()
  }
}

function* steps(decoder: Decoder, chunk: Uint8Array, output: Uint8Array, what: string): Generator<Uint8Array> {
  let rest = chunk
  for (;;) {
    const { consumed, produced } = decoder.step(rest, output)
    rest = rest.subarray(consumed)
    if (produced > 0) yield output.subarray(0, produced)
    // A full output may have more behind it, even when all input is consumed.
    else if (rest.length > 0 && consumed === 0)
      throw new OnefoldError('BAD_FORMAT', `Cannot decompress "${what}": the decoder is stuck`)
    if (rest.length === 0 && produced < output.length) return
  }
}
