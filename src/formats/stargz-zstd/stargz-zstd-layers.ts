import type { LayerWriter } from '../format.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { onLossOf } from '../toc-json/loss-option.ts'
import type { stargzOptions } from '../toc-json/stargz-options.ts'
import { writeStargzZstd } from './write-stargz-zstd.ts'

/** Writes layers in stargz' dialect of zstd:chunked. */
export const stargzZstdLayers: LayerWriter<typeof stargzOptions> = {
  async layer(input, options, tools) {
    const { chunkSize, minChunkSize, keepDiffId } = options
    const bytes = writeStargzZstd(input.tar(), {
      compress: tools.compress,
      onLoss: onLossOf(options, tools),
      chunkSize,
      minChunkSize,
      prioritized: input.first,
      keepTar: keepDiffId,
    })
    return { mediaType: mediaTypes.layerZstd, bytes }
  },
}
