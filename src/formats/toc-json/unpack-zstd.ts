import { decodeZstdFrames, readZstdFrames } from '../../codecs/zstd-frames.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { badToc } from './toc-json.ts'

/** Largest window of tables, in bytes: no writer's levels go beyond. */
const maxWindow = 2 ** 27

/** Decodes a part that must come to exactly `length` bytes, which the caller has compared with its limit. */
export function unpackZstd(bytes: Uint8Array, length: number, what: string): Uint8Array {
  readZstdFrames(bytes, { maxWindow })
  const decoded = decode(bytes, length, what)
  if (decoded.length !== length) throw wrongLength(what, length)
  return decoded
}

function decode(bytes: Uint8Array, length: number, what: string): Uint8Array {
  try {
    return decodeZstdFrames(bytes, length)
  } catch (cause) {
    if (hasCode(cause, 'LIMIT')) throw wrongLength(what, length, cause)
    throw badToc(`${what} is no zstd data`, cause)
  }
}

function wrongLength(what: string, length: number, cause?: unknown): OnefoldError {
  return badToc(`${what} does not decode to the ${length} bytes it should have`, cause)
}
