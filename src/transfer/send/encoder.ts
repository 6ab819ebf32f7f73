import type { Digest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { parseArtifact, parseIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import { replaceLayers, replaceManifests } from '../../formats/oci/rewrite-manifest.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { CompressedLayers, Store } from '../../store/store.ts'
import type { SourceOptions } from '../../sources/source-options.ts'
import { compressionName } from './block.ts'
import { type WatchOptions, layerTar, requireLayer, tarSizeOf, turning } from './layer-tar.ts'
import { Originals } from './originals.ts'
import { Recompressor } from './recompress.ts'

/** What blobs are known by wherever they go. */
export type BlobName = Pick<Descriptor, 'digest' | 'size'>

/** Takes the parts of images: blobs before the manifests that name them, those before their index. */
export interface ImageTarget {
  /**
   * A blob that is being made, of at most `sizeMax` bytes; chunks are valid until the next is asked for. What it is
   * called turns out at the end.
   */
  addLayer(chunks: AsyncIterable<Uint8Array>, sizeMax: number): Promise<BlobName>
  putBlob(descriptor: Descriptor, bytes: Uint8Array): Promise<void>
  putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void>
  /** Takes the image as it was, without its layers, where it has those already; false when it does not. */
  takesOriginal?(record: ImageRecord, manifest: Uint8Array, config: Uint8Array): Promise<boolean>
  /** Whether it has a blob already, or can get it without our sending it. */
  holds?(blob: BlobName): Promise<boolean>
  /** Whether what it refused may do once all blobs have been given to it again. */
  doubts?(error: unknown): boolean
}

export interface EncodeOptions extends WatchOptions {
  /** Refuse (UNSUPPORTED) what could not be sent under the digest it had. */
  readonly preserveDigests?: boolean | undefined
  /** How images' origins are read where a layer has to be copied from there. */
  readonly origin?: SourceOptions | undefined
}

export interface SentImage {
  readonly manifest: Digest
  readonly config: Digest
  readonly platform: string
  /** What the store knows the image by. */
  readonly original: Digest
}

/**
 * Makes images of the store into blobs again. Layers are compressed anew, always to the same bytes; where those happen
 * to be the original ones, or the original was not compressed and its digest is wanted, the manifest is the original too.
 * Layers whose tar is not known, since only parts of them were pulled, are copied as they are from their origin.
 */
export class Encoder implements AsyncDisposable {
  /** In the order they were sent. */
  readonly sent: SentImage[] = []
  readonly #store: Store
  readonly #target: ImageTarget
  readonly #options: EncodeOptions
  readonly #recompressor = new Recompressor()
  readonly #originals: Originals
  #compressed: CompressedLayers | undefined
  /** Images share layers, and a layer may stand in one twice. */
  readonly #layers = new Map<string, BlobName>()

  constructor(store: Store, target: ImageTarget, options: EncodeOptions) {
    this.#store = store
    this.#target = target
    this.#options = options
    this.#originals = new Originals(options.origin ?? {}, options)
  }

  async image(record: ImageRecord): Promise<Descriptor> {
    const manifest = this.#store.blob(record.manifest.digest)
    const config = this.#store.blob(record.config.digest)
    const isThere = (await this.#target.takesOriginal?.(record, manifest, config)) ?? false
    const descriptor = isThere
      ? record.manifest
      : await trustingOrNot(
          this.#target,
          () => this.#encode(record, manifest, config),
          () => this.#layers.clear(),
        )
    const platform = formatPlatform(record.platform)
    const original = record.manifest.digest
    this.sent.push({ manifest: descriptor.digest, config: record.config.digest, platform, original })
    return descriptor
  }

  async #encode(record: ImageRecord, original: Uint8Array, config: Uint8Array): Promise<Descriptor> {
    const layers: BlobName[] = []
    for (const layer of record.layers) layers.push(await this.#layer(layer, record.origin.source))
    await this.#target.putBlob(record.config, config)
    const isOriginal = layers.every(({ digest }, i) => digest === record.layers[i]?.blob.digest)
    const bytes = isOriginal ? original : replaceLayers(original, { layers })
    const descriptor = isOriginal ? record.manifest : describeBlob(mediaTypes.manifest, bytes)
    await this.#target.putManifest(descriptor, bytes)
    return descriptor
  }

  /** Everything the store has below an index; undefined when that is nothing. */
  async all(top: Descriptor): Promise<Descriptor | undefined> {
    return sendBelow(this.#store, top, {
      image: (record) => this.image(record),
      index: async (bytes, before, now) => {
        const { manifests } = parseIndex(bytes, `index ${before.digest}`)
        const isOriginal = manifests.every((entry) => now.get(entry.digest)?.digest === entry.digest)
        if (!isOriginal && this.#options.preserveDigests === true)
          throw notPreserved(`index ${before.digest}`, 'the store does not have all of the images it lists')
        const written = isOriginal ? bytes : replaceManifests(bytes, now)
        const descriptor = isOriginal ? before : describeBlob(mediaTypes.index, written)
        await this.#target.putManifest(descriptor, written)
        return descriptor
      },
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#compressed?.[Symbol.dispose]()
    await this.#originals[Symbol.asyncDispose]()
    await this.#recompressor[Symbol.asyncDispose]()
  }

  async #layer(layer: LayerRecord, origin: string): Promise<BlobName> {
    const isCopied = layer.proof !== 'proven'
    const key = isCopied || this.#options.preserveDigests === true ? layer.blob.digest : layer.diffId
    const known = this.#layers.get(key)
    if (known !== undefined) return known
    const name = isCopied ? await this.#copy(layer, origin) : await this.#build(layer)
    this.#layers.set(key, name)
    return name
  }

  /** Its tar cannot be built: what it holds is believed from a table of contents. */
  async #copy({ blob, proof }: LayerRecord, origin: string): Promise<BlobName> {
    if (proof === 'failed') throw notBelieved(blob)
    if ((await this.#target.holds?.(blob)) === true) return blob
    return await this.#target.addLayer(this.#originals.blob(blob, origin), blob.size)
  }

  async #build(layer: LayerRecord): Promise<BlobName> {
    requireLayer(this.#store, layer)
    if (this.#options.preserveDigests !== true) return await this.#compress(layer)
    const isPlain = String(layer.blob.digest) === layer.diffId
    const name = isPlain
      ? await this.#add(layer, turning(this.#tar(layer), this.#options.signal))
      : await this.#compress(layer)
    if (name.digest === layer.blob.digest) return name
    throw notPreserved(`layer ${layer.blob.digest}`, 'its original compression cannot be had back')
  }

  /** What comes out is known from the last time: a target that has it costs no more than the question. */
  async #compress(layer: LayerRecord): Promise<BlobName> {
    this.#compressed ??= await this.#store.compressedLayers()
    const before = this.#compressed.find(layer.diffId, compressionName)
    if (before !== undefined && (await this.#target.holds?.(before)) === true) return before
    const name = await this.#add(layer, this.#recompressor.gzip(this.#tar(layer)))
    if (name.digest !== before?.digest) this.#compressed.add(layer.diffId, compressionName, name)
    return name
  }

  #tar(layer: LayerRecord): Iterable<Uint8Array> {
    return layerTar(this.#store, layer, this.#options)
  }

  #add(layer: LayerRecord, chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    // Deflate cannot add more than this to what it cannot compress.
    return this.#target.addLayer(chunks, Math.ceil(tarSizeOf(this.#store, layer) * 1.01) + 65_536)
  }
}

/** Deeper than any index goes. */
const depthMax = 8

/** A target that lacks what it said it had is given everything once more. */
export async function trustingOrNot<T>(target: ImageTarget, send: () => Promise<T>, forget: () => void): Promise<T> {
  try {
    return await send()
  } catch (error) {
    if (target.doubts?.(error) !== true) throw error
    forget()
    return send()
  }
}

export interface SendBelow {
  image(record: ImageRecord): Promise<Descriptor>
  /** @param now what the images and indexes listed in `bytes` have become; those the store lacks are not among them */
  index(bytes: Uint8Array, descriptor: Descriptor, now: ReadonlyMap<string, Descriptor>): Promise<Descriptor>
}

/** Sends everything the store has below `top`, images before their index; undefined when that is nothing. */
export async function sendBelow(
  store: Store,
  top: Descriptor,
  send: SendBelow,
  depth = 0,
): Promise<Descriptor | undefined> {
  const record = store.record(top.digest)
  if (record !== undefined) return send.image(record)
  const bytes = storedBlob(store, top.digest)
  const index = bytes && depth <= depthMax ? parseArtifact(bytes, { mediaType: top.mediaType }) : undefined
  if (bytes === undefined || index?.kind !== 'index') return undefined
  const now = new Map<string, Descriptor>()
  for (const entry of index.manifests) {
    const sent = await sendBelow(store, entry, send, depth + 1)
    if (sent !== undefined) now.set(entry.digest, sent)
  }
  return now.size === 0 ? undefined : send.index(bytes, top, now)
}

function storedBlob(store: Store, digest: Digest): Uint8Array | undefined {
  try {
    return store.blob(digest)
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

function notPreserved(what: string, found: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot keep the digest of ${what}: ${found}`, {
    hint: 'Without --preserve-digests the manifest gets another digest; the image ID (config digest) stays.',
  })
}

function notBelieved({ digest }: Descriptor): OnefoldError {
  return new OnefoldError(
    'CORRUPT',
    `Cannot send layer ${digest}: its table of contents was found to say what is not so`,
  )
}
