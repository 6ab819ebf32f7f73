/** Images of the store as images of another format: layers, config, manifest, and what lies beside. */
import type { Digest } from '../../digest.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { writeIndex, writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import { replaceDiffIds, replaceLayers, replaceManifests } from '../../formats/oci/rewrite-manifest.ts'
import {
  type IndexedLayer,
  emptyConfig,
  imageDigestAnnotation,
  indexDigestAnnotation,
  sociIndexV2,
  writeSociIndex,
} from '../../formats/soci/index-manifest.ts'
import { tableLayerDigest } from '../../formats/estargz/estargz-index.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { type ImageTarget, sendBelow, trustingOrNot } from '../send/encoder.ts'
import { Originals } from '../send/originals.ts'
import { buildTool } from '../index/build-ztoc.ts'
import { defaultSpanSize } from '../index/index-image.ts'
import type { ConvertedLayerResult } from './convert-image.ts'
import { LayerEncoder, blobSizeMax, requireConvertible, sendLayer } from './convert-layer.ts'
import type { ConvertFormat, ConvertOptions } from './convert-options.ts'
import { PrefetchList } from './prefetch-list.ts'
import { type IndexedLayerBlob, sendIndexed } from './soci-layer.ts'

export interface ConvertedImage {
  readonly manifest: Digest
  readonly config: Digest
  readonly platform: string
  /** What the store knows the image by. */
  readonly original: Digest
  /** Of its SOCI index. */
  readonly soci?: Digest
  readonly layers: readonly ConvertedLayerResult[]
}

export class Converter implements AsyncDisposable {
  readonly converted: ConvertedImage[] = []
  readonly #store: Store
  readonly #target: ImageTarget
  readonly #format: ConvertFormat
  readonly #options: ConvertOptions
  readonly #encoder: LayerEncoder
  readonly #originals: Originals
  /** Images share layers, and a layer may stand in one twice. */
  readonly #layers = new Map<string, IndexedLayerBlob>()
  /** An index may list an image twice. */
  readonly #images = new Map<Digest, Descriptor>()
  /** SOCI's indexes, as an image index lists them. */
  readonly #indexes: Descriptor[] = []

  constructor(store: Store, target: ImageTarget, format: ConvertFormat, options: ConvertOptions) {
    this.#store = store
    this.#target = target
    this.#format = format
    this.#options = options
    this.#encoder = new LayerEncoder(store, format, options)
    this.#originals = new Originals(options.source ?? {}, options)
  }

  /** An image alone; with an index of SOCI it becomes an image index of the two, which is where readers look. */
  async one(record: ImageRecord): Promise<Descriptor> {
    const manifest = await this.#image(record)
    if (this.#indexes.length === 0) return manifest
    const { os, architecture, variant, osVersion } = record.platform
    const platform = { os, architecture, ...(variant && { variant }), ...(osVersion && { osVersion }) }
    return await this.#putIndex(writeIndex({ manifests: [{ ...manifest, platform }, ...this.#indexes] }))
  }

  /** Everything the store has below an index. */
  async all(top: Descriptor): Promise<Descriptor | undefined> {
    return sendBelow(this.#store, top, {
      image: (record) => this.#image(record),
      index: (bytes, before, now) =>
        this.#putIndex(replaceManifests(bytes, now, before.digest === top.digest ? this.#indexes : [])),
    })
  }

  /** The manifest of the image that has the tables of all layers, where they are in blobs of their own. */
  async externalTocs(): Promise<Descriptor | undefined> {
    const tables = [...this.#layers.values()].filter(({ externalToc }) => externalToc !== undefined)
    if (tables.length === 0) return undefined
    const layers: Descriptor[] = []
    for (const { digest, externalToc } of tables) {
      const blob = describeBlob(mediaTypes.layerGzip, externalToc ?? new Uint8Array())
      await this.#target.putBlob(blob, externalToc ?? new Uint8Array())
      layers.push({ ...blob, annotations: { [tableLayerDigest]: digest } })
    }
    const config = describeBlob(mediaTypes.config, emptyConfig)
    await this.#target.putBlob(config, emptyConfig)
    // In the order of the tables' digests, as the reference has them.
    const sorted = layers.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
    return await this.#putManifest(writeManifest({ config, layers: sorted }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#originals[Symbol.asyncDispose]()
    await this.#encoder[Symbol.asyncDispose]()
  }

  async #image(record: ImageRecord): Promise<Descriptor> {
    const known = this.#images.get(record.manifest.digest)
    if (known !== undefined) return known
    for (const layer of record.layers) requireConvertible(this.#store, layer)
    const sent = await trustingOrNot(
      this.#target,
      () => this.#send(record),
      () => this.#layers.clear(),
    )
    this.#images.set(record.manifest.digest, sent)
    return sent
  }

  async #send(record: ImageRecord): Promise<Descriptor> {
    const layers = await this.#sendLayers(record)
    const config = await this.#sendConfig(record, layers)
    const soci = this.#format === 'soci' ? await this.#sendIndex(layers) : undefined
    const annotations = soci && { [indexDigestAnnotation]: soci.digest }
    const original = this.#store.blob(record.manifest.digest)
    const manifest = await this.#putManifest(replaceLayers(original, { layers, config, annotations }))
    if (soci !== undefined) this.#indexes.push(entryOf(soci, manifest, record))
    this.converted.push({
      manifest: manifest.digest,
      config: config.digest,
      platform: formatPlatform(record.platform),
      original: record.manifest.digest,
      ...(soci && { soci: soci.digest }),
      layers: layers.map(({ digest, size, diffId }, i) => ({
        original: record.layers[i]?.blob.digest ?? digest,
        digest,
        size,
        diffId,
      })),
    })
    return annotations === undefined ? manifest : { ...manifest, annotations }
  }

  async #sendLayers(record: ImageRecord): Promise<IndexedLayerBlob[]> {
    const prefetch = new PrefetchList(this.#store, record, this.#options)
    const sent: IndexedLayerBlob[] = []
    for (const layer of record.layers) sent.push(await this.#layer(layer, prefetch.of(layer), record.origin.source))
    return sent
  }

  async #layer(layer: LayerRecord, first: readonly string[], origin: string): Promise<IndexedLayerBlob> {
    // What is prefetched decides the bytes, and another image may want other files of the same layer.
    const key = `${this.#format === 'soci' ? layer.blob.digest : layer.diffId} ${JSON.stringify(first)}`
    const known = this.#layers.get(key)
    if (known !== undefined) return known
    const sent = await (this.#format === 'soci' ? this.#indexed(layer, origin) : this.#plain(layer, first))
    this.#layers.set(key, sent)
    return sent
  }

  async #indexed(layer: LayerRecord, origin: string): Promise<IndexedLayerBlob> {
    const [store, target, encoder] = [this.#store, this.#target, this.#encoder]
    const parts = { store, target, encoder, originals: this.#originals, options: this.#options }
    return await sendIndexed(parts, layer, origin)
  }

  async #plain(layer: LayerRecord, first: readonly string[]): Promise<IndexedLayerBlob> {
    const stream = this.#encoder.open(layer, first)
    return { ...(await sendLayer(this.#target, stream, blobSizeMax(this.#store, layer))), ztoc: undefined }
  }

  /** Another one only where diffIDs are others. */
  async #sendConfig({ config, layers: before }: ImageRecord, layers: readonly IndexedLayerBlob[]): Promise<Descriptor> {
    const original = this.#store.blob(config.digest)
    const isSame = layers.every(({ diffId }, i) => diffId === before[i]?.diffId)
    const diffIds = layers.map(({ diffId }) => diffId)
    const bytes = isSame ? original : replaceDiffIds(original, diffIds)
    const descriptor = describeBlob(mediaTypes.config, bytes)
    await this.#target.putBlob(descriptor, bytes)
    return descriptor
  }

  /** SOCI's own manifest; undefined when no layer has a table. */
  async #sendIndex(layers: readonly IndexedLayerBlob[]): Promise<Descriptor | undefined> {
    const { spanSize = defaultSpanSize } = this.#options
    const indexed: IndexedLayer[] = []
    for (const { ztoc, mediaType, digest, size } of layers) {
      if (ztoc === undefined) continue
      await this.#target.putBlob({ ...ztoc, mediaType: 'application/octet-stream' }, ztoc.bytes)
      indexed.push({ layer: { mediaType, digest, size }, ztoc, spanSize })
    }
    if (indexed.length === 0) return undefined
    await this.#target.putBlob(describeBlob(mediaTypes.config, emptyConfig), emptyConfig)
    return await this.#putManifest(writeSociIndex(indexed, { buildTool }))
  }

  async #putManifest(bytes: Uint8Array): Promise<Descriptor> {
    const { digest, size } = describeBlob(mediaTypes.manifest, bytes)
    const descriptor = { mediaType: mediaTypes.manifest, digest, size }
    await this.#target.putManifest(descriptor, bytes)
    return descriptor
  }

  async #putIndex(bytes: Uint8Array): Promise<Descriptor> {
    const descriptor = describeBlob(mediaTypes.index, bytes)
    await this.#target.putManifest(descriptor, bytes)
    return descriptor
  }
}

/** How an image index lists SOCI's: with the platform, and the image it belongs to. */
function entryOf(soci: Descriptor, image: Descriptor, { platform }: ImageRecord): Descriptor {
  const annotations = { [imageDigestAnnotation]: image.digest }
  return { ...soci, annotations, platform, artifactType: sociIndexV2 }
}
