import type { Digest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { withResult } from '../../streams.ts'
import { readRange } from '../local/file-set.ts'
import { parseSourceName } from '../source-name.ts'
import { RefusedError } from '../registry/client.ts'
import type { Reference } from '../registry/reference.ts'
import type { RegistryTarget } from '../registry/upload-target.ts'
import type { BlobReader } from '../registry/upload.ts'
import { type TemporaryFile, keepTemporarily } from '../temporary.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import type { StoredImage } from '../../store/store.ts'
import type { BlobName, ImageTarget } from '../../transfer/send/encoder.ts'
import { naming } from './layout-target.ts'

export interface PushTargetOptions {
  readonly signal?: AbortSignal | undefined
  readonly temporary?: string | undefined
  /** Other repositories of the registry that may have blobs of the image. */
  readonly from: readonly string[]
}

export interface PushStats {
  readonly blobsUploaded: number
  readonly bytesUploaded: number
  /** Blobs that were there already, and that the registry took from another repository. */
  readonly blobsPresent: number
  readonly blobsMounted: number
}

/** Layers that may wait in temporary files while others go up: compressing and sending go on side by side. */
const uploadsMax = 3

/** Puts images into a repository. A layer goes up while the next is being compressed. */
export class PushTarget implements ImageTarget, AsyncDisposable {
  readonly #registry: RegistryTarget
  readonly #options: PushTargetOptions
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #uploads = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined
  /** What we put there. */
  readonly #sent = new Set<Digest>()
  /** The registry says that it has these. */
  readonly #believed = new Set<Digest>()
  readonly #manifests = new Map<Digest, Uint8Array>()
  /** Cleared when it turned out to have said what is not so. */
  #isTrusted = true
  readonly #counts = { blobsUploaded: 0, bytesUploaded: 0, blobsPresent: 0, blobsMounted: 0 }

  constructor(registry: RegistryTarget, options: PushTargetOptions) {
    this.#registry = registry
    this.#options = options
    const { signal } = this.#stop
    this.#signal = options.signal === undefined ? signal : AbortSignal.any([options.signal, signal])
  }

  get stats(): PushStats {
    return { ...this.#counts }
  }

  /** With all its blobs there, or mounted there, the manifest can go up as it is. */
  async takesOriginal(record: ImageRecord, manifest: Uint8Array, config: Uint8Array): Promise<boolean> {
    const counted = this.stats
    for (const { blob } of record.layers)
      if (!(await this.#isThere(blob))) {
        // What is there of it will not be used.
        Object.assign(this.#counts, counted)
        return false
      }
    await this.putBlob(record.config, config)
    try {
      await this.putManifest(record.manifest, manifest)
      return true
    } catch (error) {
      if (this.doubts(error)) return false
      throw error
    }
  }

  async addLayer(chunks: AsyncIterable<Uint8Array>): Promise<BlobName> {
    while (this.#uploads.size >= uploadsMax) await Promise.race(this.#uploads)
    this.#throwFailure()
    const { stream, result } = withResult(naming(chunks))
    const file = await keepTemporarily(stream, this.#options.temporary)
    this.#start(this.#putFile(result(), file))
    return result()
  }

  /** In the repository, or mounted there. */
  async holds(blob: BlobName): Promise<boolean> {
    this.#throwFailure()
    return await this.#isThere(blob)
  }

  async putBlob(blob: Descriptor, bytes: Uint8Array): Promise<void> {
    await this.#put(blob, async function* (offset, length) {
      yield bytes.subarray(offset, offset + length)
    })
  }

  async putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    await Promise.all(this.#uploads)
    this.#throwFailure()
    await this.#registry.putManifest(descriptor, bytes, descriptor.digest, { signal: this.#signal })
    this.#manifests.set(descriptor.digest, bytes)
  }

  /** Gives what has been put the name that was asked for, if it was one, or another tag. */
  async name(top: Descriptor, tag = this.#registry.reference.tag): Promise<void> {
    const bytes = this.#manifests.get(top.digest)
    if (bytes === undefined) throw new Error(`manifest ${top.digest} was not put`)
    if (tag !== undefined) await this.#registry.putManifest(top, bytes, tag, { signal: this.#signal })
  }

  /** A manifest was refused for blobs that the registry said it had, or had taken: once, it is given all of them again. */
  doubts(error: unknown): boolean {
    if (!(error instanceof RefusedError && error.isMissingBlob) || !this.#isTrusted) return false
    this.#isTrusted = false
    this.#believed.clear()
    this.#sent.clear()
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#uploads)
  }

  /** Runs beside what follows; its failure is told at the next occasion. */
  #start(work: Promise<void>): void {
    const upload = work
      .catch((error: unknown) => {
        this.#failure ??= { error }
        this.#stop.abort(error)
      })
      .finally(() => this.#uploads.delete(upload))
    this.#uploads.add(upload)
  }

  #throwFailure(): void {
    this.#options.signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #putFile(blob: BlobName, file: TemporaryFile): Promise<void> {
    try {
      await this.#put(blob, (offset, length) => readRange({ ...file.range, offset, length }, { signal: this.#signal }))
    } finally {
      await file.close()
    }
  }

  async #put(blob: BlobName, read: BlobReader): Promise<void> {
    if (this.#sent.has(blob.digest) || (await this.#isThere(blob))) return
    await this.#registry.uploadBlob(blob, read, { signal: this.#signal })
    this.#sent.add(blob.digest)
    this.#counts.blobsUploaded++
    this.#counts.bytesUploaded += blob.size
  }

  /** In the repository, by its own word, or brought there from another. */
  async #isThere(blob: BlobName): Promise<boolean> {
    const { digest } = blob
    if (this.#sent.has(digest) || this.#believed.has(digest)) return true
    if (!this.#isTrusted) return false
    const signal = this.#signal
    const found = async (): Promise<boolean> => {
      if (await this.#registry.hasBlob(blob, { signal })) return ++this.#counts.blobsPresent > 0
      for (const repository of this.#options.from)
        if (await this.#registry.mountBlob(blob, repository, { signal })) return ++this.#counts.blobsMounted > 0
      return false
    }
    const isThere = await found()
    if (isThere) this.#believed.add(digest)
    return isThere
  }
}

/** More are not asked: each costs a round trip for every blob that none of them has. */
const siblingsMax = 4

/** Repositories on the same registry that the image came from, or that the store names it after. */
export function siblings(image: StoredImage, { host, repository }: Reference): string[] {
  const found = new Set<string>()
  for (const name of [image.record.origin.source, ...image.names]) {
    const reference = referenceIn(name)
    if (reference?.host === host && reference.repository !== repository) found.add(reference.repository)
  }
  return [...found].slice(0, siblingsMax)
}

function referenceIn(name: string): Reference | undefined {
  try {
    const source = parseSourceName(name)
    return source.transport === 'docker' ? source.reference : undefined
  } catch (error) {
    if (hasCode(error, 'BAD_NAME') || hasCode(error, 'UNSUPPORTED')) return undefined
    throw error
  }
}
