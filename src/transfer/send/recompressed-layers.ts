/** Layers as push and export send them. */
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { WrittenLayer } from '../../formats/format.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import type { BlobName, Target } from '../../sources/targets/target.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { CompressedLayers, Store } from '../../store/store.ts'
import { compressionName } from './block.ts'
import { type WatchOptions, layerTar, requireLayer, tarSizeOf, turning } from './layer-tar.ts'
import type { LayerPlan, LayerStrategy } from './layer-strategy.ts'
import { notPreserved } from './not-preserved.ts'
import { Originals } from './originals.ts'
import { Recompressor } from './recompress.ts'

export interface RecompressOptions extends WatchOptions {
  /** Refuse (UNSUPPORTED) what could not be sent under the digest it had. */
  readonly preserveDigests?: boolean | undefined
  /** How images' origins are read where a layer has to be copied from there. */
  readonly origin?: SourceOptions | undefined
}

/**
 * Compresses layers anew, always to the same bytes; where those happen to be the original ones, or the original was not
 * compressed and its digest is wanted, the manifest is the original too. Layers whose tar is not known, since only parts of
 * them were pulled, are copied as they are from their origin.
 */
export class RecompressedLayers implements LayerStrategy {
  readonly keepsDocuments = true
  readonly #store: Store
  readonly #options: RecompressOptions
  readonly #recompressor = new Recompressor()
  readonly #originals: Originals
  #compressed: CompressedLayers | undefined

  constructor(store: Store, options: RecompressOptions) {
    this.#store = store
    this.#options = options
    this.#originals = new Originals(options.origin ?? {}, options)
  }

  plan({ layers, origin }: ImageRecord): LayerPlan[] {
    return layers.map((layer) => (layer.proof === 'proven' ? this.#build(layer) : this.#copy(layer, origin.source)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#compressed?.[Symbol.dispose]()
    await this.#originals[Symbol.asyncDispose]()
    await this.#recompressor[Symbol.asyncDispose]()
  }

  /** Copies a layer whose tar cannot be built: what it holds is believed from a table of contents. */
  #copy({ blob, diffId, proof }: LayerRecord, origin: string): LayerPlan {
    if (proof === 'failed') throw notBelieved(blob)
    return {
      key: blob.digest,
      send: async (target) => {
        if ((await target.holds?.(blob)) === true) return { blob, diffId }
        const name = await target.addLayer(this.#originals.blob(blob, origin), blob.size)
        return { blob: { ...blob, ...name }, diffId }
      },
    }
  }

  #build(layer: LayerRecord): LayerPlan {
    requireLayer(this.#store, layer)
    const { blob, diffId } = layer
    return this.#options.preserveDigests === true
      ? { key: blob.digest, send: (target) => this.#preserve(target, layer) }
      : { key: diffId, send: async (target) => gzipLayer(layer, await this.#compress(target, layer)) }
  }

  async #preserve(target: Target, layer: LayerRecord): Promise<WrittenLayer> {
    const { blob, diffId } = layer
    const isPlain = String(blob.digest) === diffId
    const { digest } = await (isPlain ? this.#add(target, layer, this.#plain(layer)) : this.#compress(target, layer))
    if (digest === blob.digest) return { blob, diffId }
    throw notPreserved(`layer ${blob.digest}`, 'its original compression cannot be had back')
  }

  /** Compresses a layer whose result is known from the last time: a target that has it costs no more than the question. */
  async #compress(target: Target, layer: LayerRecord): Promise<BlobName> {
    this.#compressed ??= await this.#store.compressedLayers()
    const before = this.#compressed.find(layer.diffId, compressionName)
    if (before !== undefined && (await target.holds?.(before)) === true) return before
    const name = await this.#add(target, layer, this.#recompressor.gzip(this.#tar(layer)))
    if (name.digest !== before?.digest) this.#compressed.add(layer.diffId, compressionName, name)
    return name
  }

  #plain(layer: LayerRecord): AsyncIterable<Uint8Array> {
    return turning(this.#tar(layer), this.#options.signal)
  }

  #tar(layer: LayerRecord): Iterable<Uint8Array> {
    return layerTar(this.#store, layer, this.#options)
  }

  #add(target: Target, layer: LayerRecord, chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    // Deflate cannot add more than this to what it cannot compress.
    return target.addLayer(chunks, Math.ceil(tarSizeOf(this.#store, layer) * 1.01) + 65_536)
  }
}

function gzipLayer({ diffId }: LayerRecord, { digest, size }: BlobName): WrittenLayer {
  return { blob: { mediaType: mediaTypes.layerGzip, digest, size }, diffId }
}

function notBelieved({ digest }: Descriptor): OnefoldError {
  return new OnefoldError(
    'CORRUPT',
    `Cannot send layer ${digest}: its table of contents was found to say what is not so`,
  )
}
