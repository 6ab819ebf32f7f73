import type { Decoder } from './codec.ts'
import type { Coding } from './coding.ts'
import { gunzipFrom } from './gzip-index.ts'
import { copier, gunzip, unzstd } from './zlib.ts'

/** The decoder of a unit that is compressed in this way. */
export function decoderOf(coding: Coding, zstdWindowLog: number): Decoder {
  switch (coding.kind) {
    case 'gzip':
      return gunzip()
    case 'zstd':
      return unzstd(zstdWindowLog)
    case 'stored':
      return copier()
    case 'deflate':
      return gunzipFrom(coding.bits, coding.window)
  }
}
