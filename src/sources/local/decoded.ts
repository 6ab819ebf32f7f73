import { Drain } from '../../codecs/codec.ts'
import { decoderFor } from '../../codecs/decoder-of.ts'
import { OnefoldError } from '../../error.ts'

/** Memory that a zstd frame may ask for, as a power of two: the most that `zstd` itself takes without being told. */
const zstdWindowLog = 27
const outputSize = 1024 * 1024

/**
 * Yields the bytes of a gzip or zstd stream, of any number of members or frames; other bytes come out as they are. The
 * first chunk must hold the magic. Each chunk is good until the next one is asked for. Throws BAD_FORMAT for damage,
 * LIMIT above `maxBytes`: a few kilobytes can unfold to terabytes.
 */
export async function* decoded(
  chunks: AsyncIterable<Uint8Array>,
  what: string,
  maxBytes: number,
): AsyncGenerator<Uint8Array> {
  let drain: Drain | undefined
  let total = 0
  const output = new Uint8Array(outputSize)
  try {
    for await (const chunk of chunks) {
      drain ??= new Drain(decoderFor(chunk, zstdWindowLog), `"${what}"`)
      drain.give(chunk)
      for (let length = drain.read(output); length > 0; length = drain.read(output)) {
        total += length
        if (total > maxBytes) throw unfoldsTooFar(what, maxBytes)
        yield output.subarray(0, length)
      }
    }
    drain?.end()
  } finally {
    drain?.[Symbol.dispose]()
  }
}

function unfoldsTooFar(what: string, maxBytes: number): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot decompress "${what}": it unfolds to more than ${maxBytes} bytes`, {
    hint: 'Decompress it first if you trust it.',
  })
}
