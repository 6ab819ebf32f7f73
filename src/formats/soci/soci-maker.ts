import type { IndexMaker } from '../format.ts'
import { ZtocBuilder, buildTool } from './build-ztoc.ts'
import { buildToolAnnotation, sociIndexV1 } from './index-manifest.ts'
import { sociArtifact } from './soci-artifact.ts'
import { sociOptions } from './soci-options.ts'

/** Makes indexes of version 1, which refer to an image that does not know of them. */
export const sociMaker: IndexMaker<typeof sociOptions> = {
  wants: (layer, { minLayerSize = sociOptions.minLayerSize.default }) => layer.size >= minLayerSize,
  build: (layer, { spanSize = sociOptions.spanSize.default, zstd = false }, codecs) =>
    new ZtocBuilder(layer.digest, { spanSize, zstd }, codecs),
  artifact: (image, layers, options) => ({
    ...sociArtifact(layers, options, image),
    listed: { annotations: { [buildToolAnnotation]: buildTool }, artifactType: sociIndexV1 },
  }),
}
