import type { Decoder } from './codec.ts'
import type { Coding } from './coding.ts'
import { detectCompression } from './detect.ts'
import { GzipDecoder } from './gzip-decoder.ts'
import { GzipSpanDecoder } from './gzip-span-decoder.ts'
import { StoredDecoder } from './stored-decoder.ts'
import { ZstdDecoder } from './zstd-decoder.ts'

/**
 * Returns the decoder of a coding.
 * @param zstdWindowLog the largest zstd window accepted, as a power of two
 */
export function decoderOf(coding: Coding, zstdWindowLog: number): Decoder {
  switch (coding.kind) {
    case 'stored':
      return new StoredDecoder()
    case 'gzip':
      return new GzipDecoder()
    case 'zstd':
      return new ZstdDecoder(zstdWindowLog)
    case 'deflate':
      return new GzipSpanDecoder(coding.bits, coding.window)
  }
}

/**
 * Returns the decoder of a blob that begins with these bytes: by magic, never by media type, since registries serve
 * every mixture of the two. Throws UNSUPPORTED for compressions that layers do not have.
 */
export function decoderFor(first: Uint8Array, zstdWindowLog: number): Decoder {
  const compression = detectCompression(first)
  return decoderOf({ kind: compression === 'none' ? 'stored' : compression }, zstdWindowLog)
}
