import type { Companion, LayerWriter, NewBlob, WrittenLayer } from '../format.ts'
import { describeBlob } from '../oci/descriptor.ts'
import { writeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { onLossOf } from '../toc-json/loss-option.ts'
import { externalTocSuffix, tableLayerDigest } from './estargz-index.ts'
import type { estargzOptions } from './estargz-options.ts'
import { writeEstargz } from './write-estargz.ts'

/** Writes layers as eStargz. */
export const estargzLayers: LayerWriter<typeof estargzOptions> = {
  async layer(input, options, tools) {
    const { chunkSize, minChunkSize, keepDiffId, externalToc } = options
    const bytes = writeEstargz(input.tar(), {
      compress: tools.compress,
      onLoss: onLossOf(options, tools),
      chunkSize,
      minChunkSize,
      prioritized: input.first,
      keepTar: keepDiffId,
      externalToc,
    })
    return { mediaType: mediaTypes.layerGzip, bytes }
  },
  companion: tablesOf,
}

const emptyConfig = Buffer.from('{}')

/** The image of the tables that lie in blobs of their own. */
function tablesOf(layers: readonly WrittenLayer[]): Companion | undefined {
  const tables = layers.flatMap((layer) => tableOf(layer) ?? [])
  if (tables.length === 0) return undefined
  const config: NewBlob = { descriptor: describeBlob(mediaTypes.config, emptyConfig), bytes: emptyConfig }
  // In the order of the tables' digests, as the reference has them.
  const sorted = tables.map(({ descriptor }) => descriptor).toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  const manifest = writeManifest({ config: config.descriptor, layers: sorted })
  return { suffix: externalTocSuffix, blobs: [...tables, config], manifest }
}

function tableOf({ blob, index }: WrittenLayer): NewBlob | undefined {
  if (index === undefined) return undefined
  const annotations = { [tableLayerDigest]: blob.digest }
  return { descriptor: { ...describeBlob(mediaTypes.layerGzip, index), annotations }, bytes: index }
}
