import type { LayerWriter } from '../format.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { onLossOf } from '../toc-json/loss-option.ts'
import type { chunkedOptions } from './chunked-options.ts'
import { writeZstdChunked } from './write-chunked.ts'

/** Writes layers as zstd:chunked. */
export const chunkedLayers: LayerWriter<typeof chunkedOptions> = {
  async layer(input, options, tools) {
    const bytes = writeZstdChunked(input.tar(), { compress: tools.compress, onLoss: onLossOf(options, tools) })
    return { mediaType: mediaTypes.layerZstd, bytes }
  },
}
