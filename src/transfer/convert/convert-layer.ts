/** One layer of the store as a blob of another format. */
import type { DiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { writeEstargz } from '../../formats/estargz/write-estargz.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import type { NewLayer } from '../../formats/oci/rewrite-manifest.ts'
import { BlobWriter, type Compress, MemberBuffer } from '../../formats/toc-json/blob-members.ts'
import type { WriteOptions } from '../../formats/toc-json/toc-written.ts'
import { writeZstdChunked } from '../../formats/zstd-chunked/write-chunked.ts'
import { memberLevels } from '../../codecs/member-encoder.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { withResult } from '../../streams.ts'
import type { ImageTarget } from '../send/encoder.ts'
import { layerTar, requireLayer, tarSizeOf, turning } from '../send/layer-tar.ts'
import { Recompressor } from '../send/recompress.ts'
import { MemberPool } from './member-pool.ts'
import { type ConvertFormat, type ConvertOptions, codingOf } from './convert-options.ts'
import { orderTar } from './ordered-tar.ts'

export interface ConvertedLayer extends NewLayer {
  readonly mediaType: string
  /** Another one than before where the format changes the tar. */
  readonly diffId: DiffId
  /** The blob with its table, where that is one of its own. */
  readonly externalToc?: Uint8Array | undefined
}

/** A blob in the making: its bytes, and what is said of it in the end. */
export interface LayerStream {
  readonly bytes: AsyncGenerator<Uint8Array, Said>
  readonly mediaType: string
}

type Said = Pick<ConvertedLayer, 'diffId' | 'annotations' | 'externalToc'>

/** Members with the compressor at a time; what counts before that are their bytes. */
const membersAhead = 4096

export class LayerEncoder implements AsyncDisposable {
  readonly #store: Store
  readonly #format: ConvertFormat
  readonly #options: ConvertOptions
  readonly #recompressor: Recompressor
  readonly #members: MemberPool

  constructor(store: Store, format: ConvertFormat, options: ConvertOptions) {
    const coding = codingOf(format)
    this.#store = store
    this.#format = format
    this.#options = options
    this.#recompressor = new Recompressor(options.threads)
    this.#members = new MemberPool(coding, options.level ?? memberLevels[coding].usual, options.threads)
  }

  /**
   * Throws UNSUPPORTED for what the format cannot hold, CORRUPT when the store does not hold the tar any more.
   * @param first paths that go to the front, one char per byte
   */
  open(layer: LayerRecord, first: readonly string[]): LayerStream {
    const stargz = (coding: 'gzip' | 'zstd'): LayerStream => {
      const { chunkSize, minChunkSize, externalToc = false, keepDiffId = false } = this.#options
      const { tar, count } = this.#tar(layer, first)
      const written = writeEstargz(tar, {
        ...this.#writeOptions(),
        coding,
        externalToc,
        keepTar: keepDiffId,
        prioritized: count,
        ...(chunkSize === undefined ? {} : { chunkSize }),
        ...(minChunkSize === undefined ? {} : { minChunkSize }),
      })
      return { bytes: written, mediaType: coding === 'gzip' ? mediaTypes.layerGzip : mediaTypes.layerZstd }
    }
    switch (this.#format) {
      case 'estargz':
        return stargz('gzip')
      case 'stargz-zstd':
        return stargz('zstd')
      case 'zstd-chunked':
        return { bytes: writeZstdChunked(this.#whole(layer), this.#writeOptions()), mediaType: mediaTypes.layerZstd }
      case 'tar':
        return saying(turning(this.#whole(layer), this.#options.signal), mediaTypes.layer, layer)
      case 'tar+zstd':
        return saying(this.#frames(layer), mediaTypes.layerZstd, layer)
      case 'tar+gzip':
      case 'soci':
        return saying(this.#recompressor.gzip(this.#whole(layer), this.#options.level), mediaTypes.layerGzip, layer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#recompressor[Symbol.asyncDispose]()
    await this.#members[Symbol.asyncDispose]()
  }

  #writeOptions(): WriteOptions {
    const { lossy, onWarning } = this.#options
    return {
      compress: this.#compress,
      ahead: membersAhead,
      ...(lossy === true ? { onLoss: (_, error) => onWarning?.(`${error.message}; the nearest is written`) } : {}),
    }
  }

  readonly #compress: Compress = (bytes) => this.#members.compress(bytes)

  #whole(layer: LayerRecord): Generator<Uint8Array> {
    return layerTar(this.#store, layer, this.#options)
  }

  #tar(layer: LayerRecord, first: readonly string[]): { tar: Iterable<Uint8Array>; count: number } {
    if (first.length === 0) return { tar: this.#whole(layer), count: 0 }
    const ordered = orderTar(this.#store, layer, first)
    return { tar: ordered.tar(), count: ordered.count }
  }

  /** Zstd frames of 8 MiB of tar each, which any number of threads makes alike. */
  async *#frames(layer: LayerRecord): AsyncGenerator<Uint8Array> {
    const members = new MemberBuffer()
    const blob = new BlobWriter(this.#compress, membersAhead)
    for (const bytes of this.#whole(layer)) {
      members.add(bytes)
      yield* blob.write(members.take())
    }
    yield* blob.flush(members)
    if (blob.size === 0) yield await this.#compress(new Uint8Array(0))
  }
}

/** Formats that leave the tar alone and say nothing about it. */
function saying(bytes: AsyncIterable<Uint8Array>, mediaType: string, { diffId }: LayerRecord): LayerStream {
  const said = async function* (): AsyncGenerator<Uint8Array, Said> {
    yield* bytes
    return { diffId }
  }
  return { bytes: said(), mediaType }
}

/** Gives the blob to the target, and tells what has become of the layer. */
export async function sendLayer(
  target: ImageTarget,
  { bytes, mediaType }: LayerStream,
  sizeMax: number,
): Promise<ConvertedLayer> {
  const { stream, result } = withResult(bytes)
  const { digest, size } = await target.addLayer(stream, sizeMax)
  const { diffId, annotations, externalToc } = result()
  return { digest, size, mediaType, diffId, annotations, externalToc }
}

/** More than the blob can become: members of small files, and a table, take more room than the tar alone. */
export function blobSizeMax(store: Store, layer: LayerRecord): number {
  return tarSizeOf(store, layer) * 2 + 2 ** 20
}

/** UNSUPPORTED when the tar of the layer is not known, or would mean something else as a layer. */
export function requireConvertible(store: Store, layer: LayerRecord): void {
  if (layer.proof !== 'proven') throw notProven(layer.blob)
  requireLayer(store, layer)
}

function notProven({ digest }: Descriptor): OnefoldError {
  const found = 'only parts of it were pulled, and its tar is not known'
  return new OnefoldError('UNSUPPORTED', `Cannot convert layer ${digest}: ${found}`, {
    hint: 'Fetch the rest of the image first: onefold verify --fetch IMAGE',
  })
}
