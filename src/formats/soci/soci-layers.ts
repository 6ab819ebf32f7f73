/** Layers with zTOCs: the blobs as they came where those can be had and be indexed, or else compressed anew. */
import { detectCompression } from '../../codecs/detect.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { OptionsOf } from '../format-options.ts'
import type { ImageAddition, LayerFacts, LayerInput, LayerWriter, WritingTools, WrittenLayer } from '../format.ts'
import { mediaTypes, ociLayerType } from '../oci/media-types.ts'
import { ZtocBuilder } from './build-ztoc.ts'
import { imageDigestAnnotation, indexDigestAnnotation, sociIndexV2 } from './index-manifest.ts'
import { sociArtifact } from './soci-artifact.ts'
import { sociOptions, type sociWriterOptions } from './soci-options.ts'

type Options = OptionsOf<typeof sociWriterOptions>

/** Writes layers with indexes of version 2, which images know of. */
export const sociLayers: LayerWriter<typeof sociWriterOptions> = {
  async layer(input, options, tools) {
    const original = await input.original((first) => options.zstd === true || detectCompression(first) !== 'zstd')
    const blob = original ?? tools.gzip(input.tar())
    return {
      mediaType: original === undefined ? mediaTypes.layerGzip : ociLayerType(input.blob.mediaType, 'renamed'),
      bytes: indexing(blob, input, options, tools),
    }
  },
  image: indexOf,
}

/** Passes a blob on and makes its zTOC, unless the blob turns out too small for one. */
async function* indexing(
  blob: AsyncIterable<Uint8Array>,
  input: LayerInput,
  options: Options,
  tools: WritingTools,
): AsyncGenerator<Uint8Array, LayerFacts> {
  const { minLayerSize = sociOptions.minLayerSize.default } = options
  using ztoc = new LossyBuilder(input, options, tools)
  let size = 0
  for await (const chunk of blob) {
    ztoc.write(chunk)
    size += chunk.length
    yield chunk
  }
  return { diffId: input.diffId, index: size < minLayerSize ? undefined : ztoc.finish() }
}

/** Gives the table up where losses are accepted and the layer has what no zTOC can say. */
class LossyBuilder implements Disposable {
  readonly #builder: ZtocBuilder
  readonly #isLossy: boolean
  readonly #onLoss: (error: unknown) => void
  #isGivenUp = false

  constructor({ blob }: LayerInput, options: Options, { codecs, onWarning }: WritingTools) {
    const { spanSize = sociOptions.spanSize.default, zstd = false, lossy = false } = options
    this.#builder = new ZtocBuilder(blob.digest, { spanSize, zstd }, codecs)
    this.#isLossy = lossy
    this.#onLoss = (error) => onWarning(`layer ${blob.digest} has no table: ${String(error)}`)
  }

  write(chunk: Uint8Array): void {
    this.#unlessGivenUp(() => this.#builder.write(chunk))
  }

  finish(): Uint8Array | undefined {
    return this.#unlessGivenUp(() => this.#builder.finish())
  }

  [Symbol.dispose](): void {
    this.#builder[Symbol.dispose]()
  }

  #unlessGivenUp<T>(action: () => T): T | undefined {
    if (this.#isGivenUp) return undefined
    try {
      return action()
    } catch (error) {
      if (!this.#isLossy || !hasCode(error, 'UNSUPPORTED')) throw error
      this.#isGivenUp = true
      this.#onLoss(error)
      return undefined
    }
  }
}

function indexOf(layers: readonly WrittenLayer[], options: Options): ImageAddition | undefined {
  const indexed = layers.flatMap(({ blob, index }) => (index === undefined ? [] : [{ blob, index }]))
  if (indexed.length === 0) return undefined
  const { blobs, manifest } = sociArtifact(indexed, options)
  return {
    blobs,
    manifest,
    annotations: { [indexDigestAnnotation]: digestOf(manifest) },
    listed: (artifact, image) => ({
      ...artifact,
      annotations: { [imageDigestAnnotation]: image.digest },
      ...(image.platform && { platform: image.platform }),
      artifactType: sociIndexV2,
    }),
  }
}
