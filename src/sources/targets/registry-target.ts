import type { Digest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { withResult } from '../../streams.ts'
import { readRange } from '../local/file-set.ts'
import { parseSourceName } from '../source-name.ts'
import { RefusedError } from '../registry/client.ts'
import type { Reference } from '../registry/reference.ts'
import type { BlobReader } from '../registry/upload.ts'
import { WritableRepository } from '../registry/writable-repository.ts'
import { type TemporaryFile, keepTemporarily } from '../temporary.ts'
import { naming } from './layout-files.ts'
import type { TargetOptions } from './target-options.ts'
import type { BlobName, NamedManifest, OriginalImage, Target } from './target.ts'

export interface PushStats {
  readonly blobsUploaded: number
  readonly bytesUploaded: number
  /** Blobs that were there already, and that the registry took from another repository. */
  readonly blobsPresent: number
  readonly blobsMounted: number
}

/** Layers that may wait in temporary files while others go up: compressing and sending go on side by side. */
const uploadsMax = 3

/** A repository of a registry. A layer goes up while the next is being compressed. */
export class RegistryTarget implements Target {
  readonly #repository: WritableRepository
  readonly #options: TargetOptions
  /** Other repositories of the registry that may have blobs of the image. */
  readonly #siblings: readonly string[]
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #uploads = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | undefined
  /** Blobs that we put there. */
  readonly #sent = new Set<Digest>()
  /** Blobs that the registry says it has. */
  readonly #believed = new Set<Digest>()
  readonly #manifests = new Map<Digest, Uint8Array>()
  /** Cleared when it turned out to have said what is not so. */
  #isTrusted = true
  readonly #counts = { blobsUploaded: 0, bytesUploaded: 0, blobsPresent: 0, blobsMounted: 0 }

  constructor(reference: Reference, options: TargetOptions) {
    this.#repository = new WritableRepository(reference, options.registry ?? {})
    this.#siblings = siblings(options.near ?? [], reference)
    this.#options = options
    const { signal } = this.#stop
    this.#signal = options.signal === undefined ? signal : AbortSignal.any([options.signal, signal])
  }

  get name(): string | undefined {
    return this.#repository.reference.tag
  }

  /** The name with host, repository and tag or digest. */
  get fullName(): string {
    return this.#repository.name
  }

  get stats(): PushStats {
    return { ...this.#counts }
  }

  /** Puts the manifest up as it is where all blobs are there, or can be mounted there. */
  async takesOriginal(image: OriginalImage, manifest: Uint8Array, config: Uint8Array): Promise<boolean> {
    const counted = this.stats
    for (const blob of image.layers)
      if (!(await this.#isThere(blob))) {
        // What is there of it will not be used.
        Object.assign(this.#counts, counted)
        return false
      }
    await this.putBlob(image.config, config)
    try {
      await this.putManifest(image.manifest, manifest)
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

  /** Whether the repository has the blob, or could mount it from another. */
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
    await this.#repository.putManifest(descriptor, bytes, descriptor.digest, { signal: this.#signal })
    this.#manifests.set(descriptor.digest, bytes)
  }

  /** The image's own tag comes last: whoever finds the image finds what lies beside it. */
  async finish(manifests: readonly NamedManifest[]): Promise<void> {
    for (const { descriptor, name } of manifests.toReversed()) {
      const bytes = this.#manifests.get(descriptor.digest)
      if (bytes === undefined) throw new Error(`manifest ${descriptor.digest} was not put`)
      if (name !== undefined) await this.#repository.putManifest(descriptor, bytes, name, { signal: this.#signal })
    }
  }

  /** A manifest may be refused for blobs that the registry said it had: once, it is given all of them again. */
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
    await this.#repository[Symbol.asyncDispose]()
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
    await this.#repository.uploadBlob(blob, read, { signal: this.#signal })
    this.#sent.add(blob.digest)
    this.#counts.blobsUploaded++
    this.#counts.bytesUploaded += blob.size
  }

  /** Whether a blob is in the repository, by its own word, or was brought there from another. */
  async #isThere(blob: BlobName): Promise<boolean> {
    const { digest } = blob
    if (this.#sent.has(digest) || this.#believed.has(digest)) return true
    if (!this.#isTrusted) return false
    const signal = this.#signal
    const found = async (): Promise<boolean> => {
      if (await this.#repository.hasBlob(blob, { signal })) return ++this.#counts.blobsPresent > 0
      for (const repository of this.#siblings)
        if (await this.#repository.mountBlob(blob, repository, { signal })) return ++this.#counts.blobsMounted > 0
      return false
    }
    const isThere = await found()
    if (isThere) this.#believed.add(digest)
    return isThere
  }
}

/** Number of repositories that are asked: each costs a round trip for every blob that none of them has. */
const siblingsMax = 4

/** The other repositories of the same registry among names of sources. */
function siblings(names: readonly string[], { host, repository }: Reference): string[] {
  const found = new Set<string>()
  for (const name of names) {
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
