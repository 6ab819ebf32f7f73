/** A layer with a zTOC: its blob as it came where that can be had and be indexed, or else compressed anew. */
import { type Digest, digestOf } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { detectCompression } from '../../codecs/detect.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { ociLayerType } from '../../formats/oci/media-types.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { withResult } from '../../streams.ts'
import { defaultLimits } from '../import/layer-job.ts'
import type { ImageTarget } from '../send/encoder.ts'
import type { Originals } from '../send/originals.ts'
import { ZtocBuilder } from '../index/build-ztoc.ts'
import { defaultMinLayerSize, defaultSpanSize } from '../index/index-image.ts'
import { type ConvertedLayer, type LayerEncoder, type LayerStream, blobSizeMax, sendLayer } from './convert-layer.ts'
import type { ConvertOptions } from './convert-options.ts'

export interface IndexedLayerBlob extends ConvertedLayer {
  /** Undefined where the blob is too small for one, or cannot be indexed and losses are accepted. */
  readonly ztoc: { readonly digest: Digest; readonly size: number; readonly bytes: Uint8Array } | undefined
}

export interface SociParts {
  readonly store: Store
  readonly target: ImageTarget
  readonly encoder: LayerEncoder
  readonly originals: Originals
  readonly options: ConvertOptions
}

/** @param origin the source that the image was pulled from */
export async function sendIndexed(parts: SociParts, layer: LayerRecord, origin: string): Promise<IndexedLayerBlob> {
  const { store, target, encoder, originals, options } = parts
  const chunks = originals.blob(layer.blob, origin)
  try {
    const stream = (await openOriginal(chunks, layer, options)) ?? encoder.open(layer, [])
    using ztoc = new Indexing(layer, options)
    const sent = await sendLayer(target, { ...stream, bytes: ztoc.reading(stream.bytes) }, blobSizeMax(store, layer))
    const bytes = sent.size < (options.minLayerSize ?? defaultMinLayerSize) ? undefined : ztoc.finish()
    return { ...sent, ztoc: bytes && { digest: digestOf(bytes), size: bytes.length, bytes } }
  } finally {
    // Also when nobody came to read it.
    await chunks.return(undefined)
  }
}

/** Undefined when the blob cannot be had, or is compressed in a way that SOCI cannot say. */
async function openOriginal(
  chunks: AsyncGenerator<Uint8Array>,
  { blob, diffId }: LayerRecord,
  { signal, onWarning, zstd }: ConvertOptions,
): Promise<LayerStream | undefined> {
  try {
    // Its bytes are good until the next are asked for, which is after these have been used.
    const first = await chunks.next()
    if (first.done !== true && (detectCompression(first.value) !== 'zstd' || zstd === true)) {
      const bytes = async function* (): AsyncGenerator<Uint8Array, { diffId: LayerRecord['diffId'] }> {
        yield first.value
        yield* chunks
        return { diffId }
      }
      return { bytes: bytes(), mediaType: ociLayerType(blob.mediaType, 'renamed') }
    }
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof OnefoldError)) throw error
    const why = error.cause instanceof Error ? error.cause.message : error.message
    onWarning?.(`layer ${blob.digest} is compressed anew, its origin does not give it: ${why}`)
  }
  return undefined
}

/** Builds the table beside what goes by. */
class Indexing implements Disposable {
  readonly #builder: ZtocBuilder
  readonly #blob: Descriptor
  readonly #options: ConvertOptions
  #isGivenUp = false

  constructor({ blob }: LayerRecord, options: ConvertOptions) {
    const { spanSize = defaultSpanSize, zstd = false } = options
    this.#builder = new ZtocBuilder(blob.digest, { spanSize, zstd, zstdWindowLog: defaultLimits.zstdWindowLog })
    this.#blob = blob
    this.#options = options
  }

  async *reading<T>(chunks: AsyncGenerator<Uint8Array, T>): AsyncGenerator<Uint8Array, T> {
    const { stream, result } = withResult(chunks)
    for await (const chunk of stream) {
      this.#unlessGivenUp(() => this.#builder.write(chunk))
      yield chunk
    }
    return result()
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
      if (this.#options.lossy !== true || !hasCode(error, 'UNSUPPORTED')) throw error
      this.#isGivenUp = true
      this.#options.onWarning?.(`layer ${this.#blob.digest} has no table: ${String(error)}`)
      return undefined
    }
  }
}
