import type { OptionsOf } from '../format-options.ts'
import type { LayerFacts, LayerInput, LayerWriter, WritingTools } from '../format.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { onLossOf } from '../toc-json/loss-option.ts'
import type { erofsTarOptions } from './erofs-tar-options.ts'
import { TarIndexer } from './index-tar.ts'
import { annotationsOf } from './tar-index-annotations.ts'
import { tarIndexArtifact } from './tar-index-artifact.ts'

type Options = OptionsOf<typeof erofsTarOptions>

/** Writes layers as the tars that they are, and their indexes beside them. */
export const erofsTarLayers: LayerWriter<typeof erofsTarOptions> = {
  async layer(input, options, tools) {
    return { mediaType: mediaTypes.layer, bytes: indexing(input, options, tools) }
  },
  attach: (image, layers) => {
    const indexed = layers.flatMap(({ blob, index }) => (index === undefined ? [] : [{ blob, index }]))
    return indexed.length === 0 ? undefined : tarIndexArtifact(image, indexed)
  },
}

async function* indexing(
  input: LayerInput,
  options: Options,
  tools: WritingTools,
): AsyncGenerator<Uint8Array, LayerFacts> {
  const onLoss = onLossOf(options, tools)
  const indexer = new TarIndexer({ onLoss })
  for (const bytes of input.tar()) {
    indexer.write(bytes)
    yield bytes
  }
  const index = indexer.finish()
  return { diffId: input.diffId, annotations: annotationsOf(index, onLoss), index: index.bytes }
}
