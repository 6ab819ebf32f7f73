import type { AbortOptions } from '../../abort.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { BlobName } from '../targets/target.ts'
import { RefusedError, RegistryClient, type RegistryOptions } from './client.ts'
import { type Reference, formatReference } from './reference.ts'
import { retrying } from './retry.ts'
import { otherDigest } from './stored-digest.ts'
import type { Response } from './transport.ts'
import { type BlobReader, type UploadOptions, uploadBlob } from './upload.ts'

const done = [200, 201, 202, 204]
/** Answers of registries that do not do HEAD, or not for everybody. */
const headRefused = [400, 403, 405, 501]

/** One repository of a registry, to be written to. What it says of itself is not believed further than need be. */
export class WritableRepository implements AsyncDisposable {
  readonly reference: Reference
  readonly #client: RegistryClient

  constructor(reference: Reference, options: RegistryOptions) {
    this.reference = reference
    this.#client = new RegistryClient(reference, { ...options, access: 'push' })
  }

  get name(): string {
    return formatReference(this.reference)
  }

  /** Tells whether the registry says that it has the blob, with the size it must have. */
  async hasBlob(blob: BlobName, options: AbortOptions = {}): Promise<boolean> {
    const asked = `look for blob ${blob.digest} in ${this.#place}`
    const answer = await this.#look(`blobs/${blob.digest}`, asked, options)
    return answer !== undefined && hasSize(answer, blob.size) && otherDigest(answer, blob.digest) === undefined
  }

  /** Has the registry take a blob from another of its repositories; returns false when it does not. */
  async mountBlob({ digest }: BlobName, from: string, { signal }: AbortOptions = {}): Promise<boolean> {
    const action = `mount blob ${digest} from ${from} in ${this.#place}`
    const question = new URLSearchParams({ mount: digest, from }).toString()
    try {
      const path = `blobs/uploads/?${question}`
      const response = await retrying(this.#client.retry, signal, () =>
        this.#client.ask({ method: 'POST', path, body: '', action, signal, expected: [201, 202] }),
      )
      response.body.drop()
      if (response.status === 201) return otherDigest(response, digest) === undefined
      await this.#cancel(response, action, signal)
      return false
    } catch (error) {
      // Who may not read the other repository learns nothing more about it.
      if (error instanceof RefusedError || (error instanceof OnefoldError && error.code === 'DENIED')) return false
      throw error
    }
  }

  async uploadBlob(blob: BlobName, read: BlobReader, options: UploadOptions = {}): Promise<void> {
    await uploadBlob(this.#client, `blob ${blob.digest} to ${this.#place}`, blob, read, options)
  }

  /**
   * Stores a manifest. Throws a RefusedError when the registry does not want it, for one because it lacks blobs that
   * the manifest names.
   */
  async putManifest(
    manifest: Descriptor,
    bytes: Uint8Array,
    name: string,
    { signal }: AbortOptions = {},
  ): Promise<void> {
    const action = `put manifest ${manifest.digest} as ${this.#place} ${name}`
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes
    }
    const response = await retrying(this.#client.retry, signal, () =>
      this.#client.ask({
        method: 'PUT',
        path: `manifests/${name}`,
        headers: { 'content-type': manifest.mediaType },
        body: { length: bytes.length, chunks },
        action,
        signal,
        expected: done,
      }),
    )
    response.body.drop()
    const stored = otherDigest(response, manifest.digest)
    if (stored !== undefined)
      throw new OnefoldError('NETWORK', `Cannot ${action}: the registry says that it has stored ${stored}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client[Symbol.asyncDispose]()
  }

  get #place(): string {
    return `${this.reference.host}/${this.reference.repository}`
  }

  /** Asks by HEAD, or GET where that is refused; undefined when it is not there. */
  async #look(path: string, action: string, { signal }: AbortOptions): Promise<Response | undefined> {
    const ask = (
      method: 'HEAD' | 'GET',
      expected: readonly number[],
      range: Record<string, string>,
    ): Promise<Response> =>
      retrying(this.#client.retry, signal, () =>
        this.#client.ask({ method, path, headers: range, action, signal, expected }),
      )
    let response = await ask('HEAD', [200, 404, ...headRefused], {})
    response.body.drop()
    if (headRefused.includes(response.status)) {
      response = await ask('GET', [200, 206, 404], { range: 'bytes=0-0' })
      response.body.drop()
    }
    return response.status === 404 ? undefined : response
  }

  /** Ends a session that the registry began instead of mounting; it would forget it by itself in time. */
  async #cancel(response: Response, action: string, signal: AbortSignal | undefined): Promise<void> {
    try {
      const path = this.#client.resolve(response.headers.location, response, action)
      const answer = await this.#client.ask({ method: 'DELETE', path, action, signal, expected: done })
      answer.body.drop()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
    }
  }
}

/** Tells whether the answer has the size; a server that reports none is believed. */
function hasSize({ status, headers }: Response, size: number): boolean {
  const reported = status === 206 ? /\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] : headers['content-length']
  return reported === undefined || Number(reported) === size
}
