/** Images of the store on their way out: layers as a strategy has them, config, manifest, index, and what lies beside. */
import type { Digest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { loadFormats } from '../../formats/all.ts'
import type { ImageAddition, NewBlob, WrittenLayer } from '../../formats/format.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { type Index, parseArtifact, writeIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { replaceDiffIds, replaceLayers, replaceManifests } from '../../formats/oci/rewrite-manifest.ts'
import { type UntrueAnnotations, untrueAnnotations } from '../../formats/untrue-annotations.ts'
import type { NamedManifest, Target } from '../../sources/targets/target.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store, StoredImage } from '../../store/store.ts'
import { type ReadReferrers, attachArtifact } from './attach-artifact.ts'
import type { LayerPlan, LayerStrategy } from './layer-strategy.ts'
import { notPreserved } from './not-preserved.ts'

export interface SendOptions {
  /** Every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  /** Refuse (UNSUPPORTED) what could not be sent under the digest it had. */
  readonly preserveDigests?: boolean | undefined
  /** Default: nothing refers to any image where it goes. */
  readonly readReferrers?: ReadReferrers | undefined
}

/** An image as it went out. */
export interface SentRecord {
  readonly record: ImageRecord
  readonly manifest: Digest
  readonly config: Digest
  /** The layers in its order; undefined where the target had all of them already. */
  readonly layers: readonly WrittenLayer[] | undefined
  /** The artifact that went with it. */
  readonly attached: Digest | undefined
}

/** Deeper than any index goes. */
const depthMax = 8

/** Sends images to a target, which is to be given their names afterwards. */
export class Sender {
  /** The images in the order they were sent. */
  readonly sent: SentRecord[] = []
  /** Lists of what refers to images, which are to get their names. */
  readonly referrers: NamedManifest[] = []
  readonly #store: Store
  readonly #target: Target
  readonly #strategy: LayerStrategy
  readonly #options: SendOptions
  readonly #layers = new Map<string, WrittenLayer>()
  /** Descriptors of what images have become; an index may list one twice. */
  readonly #images = new Map<Digest, Descriptor>()
  /** Artifacts that went with images, as an index lists them. */
  readonly #listed: Descriptor[] = []
  #untrue: UntrueAnnotations | undefined

  constructor(store: Store, target: Target, strategy: LayerStrategy, options: SendOptions) {
    this.#store = store
    this.#target = target
    this.#strategy = strategy
    this.#options = options
  }

  /** Sends an image, or everything the store has below the index that it was found by; returns what to give its name to. */
  async send({ top, record }: StoredImage): Promise<Descriptor> {
    if (this.#options.allPlatforms !== true) return this.#withListed(await this.#image(record), record)
    const sent = await this.#below(top, 0)
    if (sent === undefined) throw new Error('an index was found by an image that it does not lead to')
    return sent
  }

  /** Sends what goes beside all images under one name, and says what it is to be called. */
  async sendCompanion(): Promise<NamedManifest | undefined> {
    const companion = this.#strategy.companion?.([...this.#layers.values()])
    if (companion === undefined) return undefined
    await this.#putBlobs(companion.blobs)
    const descriptor = await this.#putManifest(mediaTypes.manifest, companion.manifest)
    return { descriptor, name: `${this.#target.name}${companion.suffix}` }
  }

  /** Sends everything the store has below `top`, images before their index; undefined when that is nothing. */
  async #below(top: Descriptor, depth: number): Promise<Descriptor | undefined> {
    const record = this.#store.record(top.digest)
    if (record !== undefined) return this.#image(record)
    const bytes = storedBlob(this.#store, top.digest)
    const index = bytes && depth <= depthMax ? parseArtifact(bytes, { mediaType: top.mediaType }) : undefined
    if (bytes === undefined || index?.kind !== 'index') return undefined
    const now = new Map<string, Descriptor>()
    for (const entry of index.manifests) {
      const sent = await this.#below(entry, depth + 1)
      if (sent !== undefined) now.set(entry.digest, sent)
    }
    return now.size === 0 ? undefined : this.#index({ top, index, bytes }, now, depth === 0)
  }

  /** @param now what the images and indexes listed have become; those the store lacks are not among them */
  async #index(before: StoredIndex, now: ReadonlyMap<string, Descriptor>, isTop: boolean): Promise<Descriptor> {
    const { top, index, bytes } = before
    if (this.#strategy.keepsDocuments) {
      const isOriginal = index.manifests.every(({ digest }) => now.get(digest)?.digest === digest)
      if (isOriginal) return this.#put(top, bytes)
      if (this.#options.preserveDigests === true)
        throw notPreserved(`index ${top.digest}`, 'the store does not have all of the images it lists')
    }
    const written = replaceManifests(bytes, now, await this.#annotations(), isTop ? this.#listed : [])
    return this.#putManifest(mediaTypes.index, written)
  }

  /** An image with something beside it becomes an index of the two, which is where readers look. */
  async #withListed(manifest: Descriptor, record: ImageRecord): Promise<Descriptor> {
    if (this.#listed.length === 0) return manifest
    const entry = { ...manifest, platform: record.platform }
    return this.#putManifest(mediaTypes.index, writeIndex({ manifests: [entry, ...this.#listed] }))
  }

  async #image(record: ImageRecord): Promise<Descriptor> {
    const known = this.#images.get(record.manifest.digest)
    if (known !== undefined) return known
    const descriptor = (await this.#sendOriginal(record)) ?? (await this.#sendAnew(record))
    this.#images.set(record.manifest.digest, descriptor)
    return descriptor
  }

  /** Sends the documents of an image whose blobs the target has; undefined when it does not have them. */
  async #sendOriginal(record: ImageRecord): Promise<Descriptor | undefined> {
    if (!this.#strategy.keepsDocuments || this.#target.takesOriginal === undefined) return undefined
    const { manifest, config } = record
    const image = { manifest, config, layers: record.layers.map(({ blob }) => blob) }
    const documents = [this.#store.blob(manifest.digest), this.#store.blob(config.digest)] as const
    if (!(await this.#target.takesOriginal(image, ...documents))) return undefined
    this.sent.push({ record, manifest: manifest.digest, config: config.digest, layers: undefined, attached: undefined })
    return manifest
  }

  async #sendAnew(record: ImageRecord): Promise<Descriptor> {
    const plans = this.#strategy.plan(record)
    try {
      return await this.#sendImage(record, plans)
    } catch (error) {
      // A target that lacks what it said it had is given everything once more.
      if (this.#target.doubts?.(error) !== true) throw error
      this.#layers.clear()
      return this.#sendImage(record, plans)
    }
  }

  async #sendImage(record: ImageRecord, plans: readonly LayerPlan[]): Promise<Descriptor> {
    const layers: WrittenLayer[] = []
    for (const plan of plans) layers.push(await this.#layer(plan))
    const config = await this.#sendConfig(record, layers)
    const addition = this.#strategy.addition?.(layers)
    const artifact = addition && (await this.#sendAddition(addition))
    const manifest = await this.#sendManifest(record, layers, config, addition)
    if (addition?.listed !== undefined && artifact !== undefined)
      this.#listed.push(addition.listed(artifact, { ...manifest, platform: record.platform }))
    const referring = await this.#attach(manifest, layers)
    const attached = (artifact ?? referring)?.digest
    this.sent.push({ record, manifest: manifest.digest, config: config.digest, layers, attached })
    return manifest
  }

  async #attach(image: Descriptor, layers: readonly WrittenLayer[]): Promise<Descriptor | undefined> {
    const artifact = this.#strategy.attach?.(image, layers)
    if (artifact === undefined) return undefined
    const { readReferrers = nothing } = this.#options
    const { descriptor, list } = await attachArtifact(this.#target, image.digest, artifact, readReferrers)
    if (list !== undefined) this.referrers.push(list)
    return descriptor
  }

  async #layer(plan: LayerPlan): Promise<WrittenLayer> {
    const known = this.#layers.get(plan.key)
    if (known !== undefined) return known
    const sent = await plan.send(this.#target)
    this.#layers.set(plan.key, sent)
    return sent
  }

  /** The config is another one only where diffIDs are others. */
  async #sendConfig({ config, layers: before }: ImageRecord, layers: readonly WrittenLayer[]): Promise<Descriptor> {
    const original = this.#store.blob(config.digest)
    const diffIds = layers.map(({ diffId }) => diffId)
    const isSame = diffIds.every((diffId, i) => diffId === before[i]?.diffId)
    const bytes = isSame ? original : replaceDiffIds(original, diffIds)
    const descriptor = isSame ? config : describeBlob(mediaTypes.config, bytes)
    await this.#target.putBlob(descriptor, bytes)
    return descriptor
  }

  async #sendAddition({ blobs, manifest }: ImageAddition): Promise<Descriptor> {
    await this.#putBlobs(blobs)
    return this.#putManifest(mediaTypes.manifest, manifest)
  }

  async #sendManifest(
    record: ImageRecord,
    written: readonly WrittenLayer[],
    config: Descriptor,
    addition: ImageAddition | undefined,
  ): Promise<Descriptor> {
    const original = this.#store.blob(record.manifest.digest)
    const isSame = written.every(({ blob }, i) => blob.digest === record.layers[i]?.blob.digest)
    if (isSame && this.#strategy.keepsDocuments) return this.#put(record.manifest, original)
    const layers = written.map(({ blob, annotations }) => ({ ...blob, annotations }))
    const annotations = addition?.annotations
    const replaced = replaceLayers(original, { layers, config, annotations }, await this.#annotations())
    const descriptor = await this.#putManifest(mediaTypes.manifest, replaced)
    return annotations === undefined ? descriptor : { ...descriptor, annotations }
  }

  async #annotations(): Promise<UntrueAnnotations> {
    return (this.#untrue ??= untrueAnnotations(await loadFormats()))
  }

  async #putBlobs(blobs: readonly NewBlob[]): Promise<void> {
    for (const { descriptor, bytes } of blobs) await this.#target.putBlob(descriptor, bytes)
  }

  #putManifest(mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
    return this.#put(describeBlob(mediaType, bytes), bytes)
  }

  async #put(descriptor: Descriptor, bytes: Uint8Array): Promise<Descriptor> {
    await this.#target.putManifest(descriptor, bytes)
    return descriptor
  }
}

async function nothing(): Promise<undefined> {}

interface StoredIndex {
  readonly top: Descriptor
  readonly index: Index
  readonly bytes: Uint8Array
}

function storedBlob(store: Store, digest: Digest): Uint8Array | undefined {
  try {
    return store.blob(digest)
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}
