import { OnefoldError } from '../../error.ts'
import { RefusedError, type RegistryClient } from './client.ts'
import { Attempts, TransientError } from './retry.ts'
import type { BlobName } from '../targets/target.ts'
import { otherDigest } from './stored-digest.ts'
import type { Response } from './transport.ts'

/** Reads `length` bytes of the blob from `offset`; may be called again for the same. */
export type BlobReader = (offset: number, length: number) => AsyncIterable<Uint8Array>

export interface UploadOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of bytes that are on their way, or have arrived. */
  readonly onProgress?: ((sent: number) => void) | undefined
}

/**
 * Uploads a blob (distribution-spec "Pushing blobs"): in one PUT, which every registry knows; an upload that breaks off
 * goes on where the registry says that it stopped, or from the start with a new session. Where a PUT is refused, or
 * broke twice, the blob goes in chunks; where chunks are refused, in one PUT.
 */
export async function uploadBlob(
  client: RegistryClient,
  what: string,
  blob: BlobName,
  read: BlobReader,
  options: UploadOptions,
): Promise<void> {
  const upload = new Upload(client, what, blob, read, options)
  const attempts = new Attempts(client.retry)
  for (;;)
    try {
      return await upload.attempt()
    } catch (error) {
      options.signal?.throwIfAborted()
      const failure = await upload.recover(error)
      if (upload.advanced) attempts.progress()
      await attempts.pause(failure, options.signal)
    }
}

type Way = 'whole' | 'chunks'

const chunkBytes = 16 * 1024 * 1024
/** Largest chunk: a registry that wants larger ones wants none. */
const chunkMax = 1024 * 1024 * 1024
const done = [200, 201, 202, 204]
/** Statuses that say something of the way the body was sent, and perhaps of nothing else. */
const wayRefused = [400, 405, 411, 413, 415, 501]
/** Statuses for a session that is gone, or somewhere else than we thought. */
const sessionLost = [404, 409, 410, 416]

class Upload {
  readonly #client: RegistryClient
  readonly #action: string
  readonly #blob: BlobName
  readonly #read: BlobReader
  readonly #options: UploadOptions
  #session: URL | undefined
  /** Number of bytes that the registry has, as it reports. */
  #offset = 0
  #furthest = 0
  #chunk = chunkBytes
  #way: Way = 'whole'
  /** Way of the last try: a session that was broken off goes on in chunks, whatever `#way` is. */
  #tried: Way = 'whole'
  #broken = 0
  readonly #refused = new Set<Way>()

  constructor(client: RegistryClient, what: string, blob: BlobName, read: BlobReader, options: UploadOptions) {
    this.#client = client
    this.#action = `upload ${what}`
    this.#blob = blob
    this.#read = read
    this.#options = options
  }

  /** Sends as much as it can; returns when the registry has the blob. */
  async attempt(): Promise<void> {
    this.#session ??= await this.#begin()
    this.#tried = this.#offset === 0 ? this.#way : 'chunks'
    if (this.#tried === 'whole') return this.#finish(this.#session, this.#blob.size)
    while (this.#offset < this.#blob.size) await this.#patch(this.#session)
    return this.#finish(this.#session, 0)
  }

  /** Tells whether the registry had more after the last failure than ever before. */
  get advanced(): boolean {
    return this.#offset > this.#furthest
  }

  /** Finds out where to go on after a failure; returns the error, as a TransientError when going on may help. */
  async recover(error: unknown): Promise<unknown> {
    this.#furthest = Math.max(this.#furthest, this.#offset)
    if (!(error instanceof OnefoldError) || this.#session === undefined) return error
    if (error instanceof RefusedError && wayRefused.includes(error.status)) {
      this.#refused.add(this.#tried)
      this.#way = this.#tried === 'whole' ? 'chunks' : 'whole'
      this.#forget()
      return this.#refused.size < 2 ? transient(error) : error
    }
    const isLost = error instanceof RefusedError && sessionLost.includes(error.status)
    if (!isLost && !(error instanceof TransientError)) return error
    if (this.#way === 'whole' && ++this.#broken >= 2 && !this.#refused.has('chunks')) this.#way = 'chunks'
    if (this.#refused.has('chunks')) this.#forget()
    else await this.#askSession(this.#session)
    return isLost ? transient(error) : error
  }

  async #begin(): Promise<URL> {
    this.#offset = 0
    const response = await this.#ask({ method: 'POST', path: 'blobs/uploads/', body: '', expected: done })
    const least = Number(response.headers['oci-chunk-min-length'] ?? 0)
    if (least > chunkBytes && least <= chunkMax) this.#chunk = least
    return this.#next(response)
  }

  /** Makes the last request of a session: with all of the blob, or with nothing more. */
  async #finish(session: URL, length: number): Promise<void> {
    const url = new URL(session)
    // Not by searchParams: that would spell what the registry put there in another way.
    url.search += `${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(this.#blob.digest)}`
    const headers = { 'content-type': 'application/octet-stream' }
    const body = length === 0 ? '' : this.#body(0, length)
    const response = await this.#ask({ method: 'PUT', path: url, headers, body, expected: done })
    const stored = otherDigest(response, this.#blob.digest)
    if (stored === undefined) return
    throw new OnefoldError('NETWORK', `Cannot ${this.#action}: the registry says that it has stored ${stored}`, {
      hint: 'It does not keep what it is given: look at its storage, or push to another.',
    })
  }

  async #patch(session: URL): Promise<void> {
    const from = this.#offset
    const length = Math.min(this.#chunk, this.#blob.size - from)
    const headers = {
      'content-type': 'application/octet-stream',
      'content-range': `${from}-${from + length - 1}`,
    }
    const response = await this.#ask({
      method: 'PATCH',
      path: session,
      headers,
      body: this.#body(from, length),
      expected: done,
    })
    this.#session = this.#next(response)
    this.#offset = this.#heldBy(response) ?? from + length
    if (this.#offset <= from || this.#offset > from + length)
      throw this.#sessionError(`it was sent bytes ${from} to ${from + length}, and says that it has ${this.#offset}`)
  }

  #body(from: number, length: number): { length: number; chunks: () => AsyncIterable<Uint8Array> } {
    const [read, onProgress] = [this.#read, this.#options.onProgress]
    return {
      length,
      async *chunks() {
        let sent = from
        for await (const chunk of read(from, length)) {
          yield chunk
          onProgress?.((sent += chunk.length))
        }
      },
    }
  }

  /** Finds out where the session goes on; one that does not answer is given up. */
  async #askSession(session: URL): Promise<void> {
    try {
      const response = await this.#ask({ method: 'GET', path: session, expected: done })
      const held = this.#heldBy(response) ?? 0
      if (held === 0 || held > this.#blob.size) return this.#forget()
      this.#session = this.#next(response)
      this.#offset = held
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.#forget()
    }
  }

  #forget(): void {
    this.#session = undefined
    this.#offset = 0
  }

  /** Reads `Range: 0-N`; a session that has nothing says so by 0-0, or not at all. */
  #heldBy({ headers }: Response): number | undefined {
    const last = /^(?:bytes=)?0-(\d{1,16})$/.exec(headers['range'] ?? '')?.[1]
    if (last === undefined) return undefined
    return last === '0' ? 0 : Number(last) + 1
  }

  #next(response: Response): URL {
    return this.#client.resolve(response.headers.location, response, this.#action)
  }

  async #ask(command: Omit<Parameters<RegistryClient['ask']>[0], 'action' | 'signal'>): Promise<Response> {
    const response = await this.#client.ask({ ...command, action: this.#action, signal: this.#options.signal })
    response.body.drop()
    return response
  }

  #sessionError(found: string): TransientError {
    return new TransientError('NETWORK', `Cannot ${this.#action}: ${found}`)
  }
}

function transient(error: OnefoldError): TransientError {
  return new TransientError(error.code, error.message, { cause: error })
}
