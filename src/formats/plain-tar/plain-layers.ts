import type { LayerFacts, LayerInput, LayerOutput, LayerWriter, WritingTools } from '../format.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { BlobWriter, type Compress, MemberBuffer } from '../toc-json/blob-members.ts'

/** Writes layers as gzip streams of one member. */
export const gzipLayers = writing(mediaTypes.layerGzip, (input, tools) => tools.gzip(input.tar()))

/** Writes layers as zstd frames. */
export const zstdLayers = writing(mediaTypes.layerZstd, (input, tools) => framesOf(input.tar(), tools.compress))

/** Writes layers as the tars that they are. */
export const tarLayers = writing(mediaTypes.layer, (input) => input.tar())

type Bytes = Iterable<Uint8Array> | AsyncIterable<Uint8Array>

function writing(
  mediaType: string,
  encode: (input: LayerInput, tools: WritingTools) => Bytes,
): LayerWriter<Readonly<Record<never, never>>> {
  return {
    layer: async (input, _, tools): Promise<LayerOutput> => ({
      mediaType,
      bytes: keepingTar(encode(input, tools), input),
    }),
  }
}

async function* keepingTar(bytes: Bytes, { diffId }: LayerInput): AsyncGenerator<Uint8Array, LayerFacts> {
  yield* bytes
  return { diffId }
}

/** Frames of 8 MiB of tar each, which any number of threads makes alike. */
async function* framesOf(tar: Iterable<Uint8Array>, compress: Compress): AsyncGenerator<Uint8Array> {
  const members = new MemberBuffer()
  const blob = new BlobWriter(compress)
  for (const bytes of tar) {
    members.add(bytes)
    yield* blob.write(members.take())
  }
  yield* blob.flush(members)
  if (blob.size === 0) yield await compress(new Uint8Array(0))
}
