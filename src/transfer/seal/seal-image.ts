import type { Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { loadFormats } from '../../formats/all.ts'
import { type Descriptor, type Platform, describeBlob } from '../../formats/oci/descriptor.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { formatPlatform } from '../../formats/oci/platform.ts'
import { addAnnotations, replaceManifests } from '../../formats/oci/rewrite-manifest.ts'
import { sealKey } from '../../formats/oci/seal-claims.ts'
import { untrueAnnotations } from '../../formats/untrue-annotations.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { ensureImage } from '../ensure-image.ts'
import { storedDocuments } from './seal-check.ts'

export interface SealImageOptions {
  /** Name of the sealed image; default: the name it was found by, which moves. */
  readonly name?: string | undefined
  readonly platform?: Platform | undefined
  /** Seals every image of an index that the store has. */
  readonly allPlatforms?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SealResult {
  readonly name: string
  /** Digest of the manifest or index that the name stands for now. */
  readonly top: Digest
  readonly images: readonly SealedImage[]
}

export interface SealedImage {
  readonly manifest: Digest
  /** Digest of the manifest it was made of. */
  readonly original: Digest
  readonly image: VerityDigest
  readonly platform: string
}

/**
 * Writes the fs-verity digest of an image's tree into its manifest, so that everybody who pulls it can be told what to
 * expect. Blobs, config and image ID stay; the manifest, and an index above it, get another digest.
 */
export async function sealImage(store: Store, image: string, options: SealImageOptions = {}): Promise<SealResult> {
  const name = options.name ?? image
  store.checkName(name)
  const found = store.find(image, { platform: options.platform })
  if (options.name === undefined && store.ref(image) === undefined)
    throw new OnefoldError('USAGE', `Cannot seal ${JSON.stringify(image)}: it is a digest, expected a name as well`)
  await using transaction = await store.begin()
  const sealing = new Sealing(store, transaction)
  const top = options.allPlatforms === true ? await sealing.all(found.top) : await sealing.image(found.record)
  if (top === undefined) throw new Error('an index was found by an image that it does not lead to')
  transaction.setRef(name, top)
  await transaction.commit({ signal: options.signal })
  return { name, top: top.digest, images: sealing.sealed }
}

class Sealing {
  readonly sealed: SealedImage[] = []
  readonly #store: Store
  readonly #transaction: Transaction

  constructor(store: Store, transaction: Transaction) {
    this.#store = store
    this.#transaction = transaction
  }

  async image(record: ImageRecord): Promise<Descriptor> {
    const image = await ensureImage(this.#store, record)
    const manifest = this.#seal(record, image)
    const original = record.manifest.digest
    this.sealed.push({ manifest: manifest.digest, original, image, platform: formatPlatform(record.platform) })
    return manifest
  }

  /** Seals everything the store has below an index, which loses the others; returns undefined when it has nothing. */
  async all(top: Descriptor, depth = 0): Promise<Descriptor | undefined> {
    const record = this.#store.record(top.digest)
    if (record !== undefined) return this.image(record)
    if (depth > depthMax) return undefined
    // Platforms that were never pulled are not there.
    if (!this.#store.hasBlob(top.digest)) return undefined
    const bytes = this.#store.blob(top.digest)
    const index = parseArtifact(bytes, { mediaType: top.mediaType })
    if (index.kind !== 'index') return undefined
    const now = new Map<string, Descriptor>()
    for (const entry of index.manifests) {
      const sealed = await this.all(entry, depth + 1)
      if (sealed !== undefined) now.set(entry.digest, sealed)
    }
    if (now.size === 0) return undefined
    return this.#put(mediaTypes.index, replaceManifests(bytes, now, untrueAnnotations(await loadFormats())))
  }

  #seal(record: ImageRecord, image: VerityDigest): Descriptor {
    const { manifest } = storedDocuments(this.#store, record)
    if (manifest.annotations[sealKey] === image) return record.manifest
    const original = this.#store.blob(record.manifest.digest)
    const sealed = this.#put(mediaTypes.manifest, addAnnotations(original, { [sealKey]: image }))
    const config = { ...record.config, mediaType: mediaTypes.config }
    this.#transaction.putRecord({ ...record, manifest: sealed, config, images: { default: image } })
    return sealed
  }

  #put(mediaType: string, bytes: Uint8Array): Descriptor {
    const descriptor = describeBlob(mediaType, bytes)
    this.#transaction.putBlob(descriptor.digest, bytes)
    return descriptor
  }
}

/** Greatest depth of indexes, deeper than any goes. */
const depthMax = 8
