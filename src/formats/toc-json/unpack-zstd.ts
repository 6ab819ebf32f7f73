import { zstdDecompressSync } from 'node:zlib'
import { OnefoldError } from '../../error.ts'
import { readZstdFrames } from '../../codecs/zstd-frames.ts'
import { badToc } from './toc-json.ts'

/** Of tables: no writer's levels go beyond. */
const maxWindow = 2 ** 27

/** Decodes what must come to exactly `length` bytes, which the caller has compared with its limit. */
export function unpackZstd(bytes: Uint8Array, length: number, what: string): Uint8Array {
  readZstdFrames(bytes, { maxWindow })
  let decoded: Uint8Array
  try {
    // At least one byte: zlib takes no smaller limit.
    decoded = zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) })
  } catch (cause) {
    if (cause instanceof RangeError) throw wrongLength(what, length, cause)
    throw badToc(`${what} is no zstd data`, cause)
  }
  if (decoded.length !== length) throw wrongLength(what, length)
  return decoded
}

function wrongLength(what: string, length: number, cause?: unknown): OnefoldError {
  return badToc(`${what} does not decode to the ${length} bytes it should have`, cause)
}
