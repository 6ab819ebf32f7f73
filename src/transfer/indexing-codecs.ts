import { decoderOf } from '../codecs/decoder-of.ts'
import { GzipIndexer } from '../codecs/gzip-indexer.ts'
import { ZstdDecoder } from '../codecs/zstd-decoder.ts'
import type { IndexingCodecs } from '../formats/format.ts'
import { defaultLimits } from './import/layer-job.ts'

const { zstdWindowLog } = defaultLimits

/** Decoders as formats use them that index blobs. */
export const indexingCodecs: IndexingCodecs = {
  decoder: (coding, onFrame) =>
    coding.kind === 'zstd' && onFrame !== undefined
      ? new ZstdDecoder(zstdWindowLog, { onFrame })
      : decoderOf(coding, zstdWindowLog),
  gunzipIndexing: (spanSize) => new GzipIndexer(spanSize),
}
