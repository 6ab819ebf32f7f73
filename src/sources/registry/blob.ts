import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { BlobOptions } from '../source.ts'
import type { RegistryClient } from './client.ts'
import { bodyChunks } from './response-body.ts'
import { Attempts, TransientError } from './retry.ts'
import type { Response } from './transport.ts'

/**
 * Yields the bytes of a blob from `offset` to `end`, exactly so many, unverified. A broken connection goes on at the
 * byte where it stopped, by a range request; a registry that has no ranges is read from the start and skipped, unless
 * the bytes are wanted exactly: then it is UNSUPPORTED.
 */
export async function* readBlob(
  client: RegistryClient,
  subject: string,
  descriptor: Descriptor,
  options: BlobOptions = {},
): AsyncGenerator<Uint8Array> {
  const reading = new Reading(client, `read ${subject}`, descriptor, options)
  const attempts = new Attempts(client.retry)
  while (reading.position < reading.end) {
    const before = reading.position
    try {
      options.signal?.throwIfAborted()
      yield* reading.connection()
    } catch (error) {
      if (reading.position > before) attempts.progress()
      await attempts.pause(error, options.signal)
    }
  }
}

/** Progress of one blob, over all its connections. */
class Reading {
  position: number
  readonly end: number
  /** True until an answer to a range made no sense. */
  #ranges = true
  readonly #client: RegistryClient
  readonly #action: string
  readonly #descriptor: Descriptor
  readonly #options: BlobOptions

  constructor(client: RegistryClient, action: string, descriptor: Descriptor, options: BlobOptions) {
    this.#client = client
    this.#action = action
    this.#descriptor = descriptor
    this.#options = options
    this.end = checkOffset(options.end ?? descriptor.size, descriptor.size, action)
    this.position = checkOffset(options.offset ?? 0, this.end, action)
  }

  /** Reads over one connection as far as it goes; throws when that is not the end of the blob. */
  async *connection(): AsyncGenerator<Uint8Array> {
    const { size, digest } = this.#descriptor
    if (!this.#ranges && this.#isExact) throw this.#noRanges('other bytes')
    const ranged = this.#ranges && (this.position > 0 || this.end < size)
    const headers: Record<string, string> = ranged ? { range: this.#range() } : {}
    const common = { action: this.#action, signal: this.#options.signal }
    const response = await this.#client.open({ ...common, lent: this.#options.lent, path: `blobs/${digest}`, headers })
    if (this.#isExact && response.status !== 206) {
      response.body.drop()
      throw this.#noRanges(String(response.status))
    }
    const { start, end } = this.#extent(response, ranged)
    let at = start
    for await (const chunk of bodyChunks(response.body, {
      ...common,
      stallTimeout: this.#client.transport.stallTimeout,
    })) {
      const skip = Math.max(0, this.position - at)
      at += chunk.length
      if (at > end) throw this.#mismatch(`at least ${at} bytes`)
      if (skip >= chunk.length) continue
      const past = Math.max(0, at - this.end)
      this.position = Math.min(at, this.end)
      yield skip === 0 && past === 0 ? chunk : chunk.subarray(skip, chunk.length - past)
      if (this.position === this.end && at < end) return
    }
    if (at < end)
      throw new TransientError('NETWORK', `Cannot ${this.#action}: the answer ended at byte ${at} of ${size}`)
  }

  #range(): string {
    return `bytes=${this.position}-${this.end < this.#descriptor.size ? this.end - 1 : ''}`
  }

  /**
   * True when other bytes than these may not come: where nothing is left out of the blob, a whole one is what was asked
   * for.
   */
  get #isExact(): boolean {
    const { exact, offset = 0 } = this.#options
    return exact === true && (offset > 0 || this.end < this.#descriptor.size)
  }

  #noRanges(answer: string): OnefoldError {
    const found = `asked for ${this.#range()}, and the registry answers with ${answer}, expected 206`
    return new OnefoldError('UNSUPPORTED', `Cannot ${this.#action}: ${found}`)
  }

  /** Returns the bytes of the blob that the body claims to be; `end` is where it must stop. */
  #extent(response: Response, ranged: boolean): { start: number; end: number } {
    const { size } = this.#descriptor
    const { status, headers } = response
    if (status === 206 && ranged) return this.#rangeExtent(response)
    if (status !== 200) {
      response.body.drop()
      if (status === 416 && ranged) throw this.#rangeRefused(headers['content-range'])
      throw new OnefoldError(
        'NETWORK',
        `Cannot ${this.#action}: asked for no range, and the registry answers ${status}`,
      )
    }
    const length = headers['content-length']
    if (length !== undefined && Number(length) !== size) {
      response.body.drop()
      throw this.#mismatch(`${length} bytes${encodingNote(headers['content-encoding'])}`)
    }
    return { start: 0, end: size }
  }

  #rangeExtent({ body, headers }: Response): { start: number; end: number } {
    const { size } = this.#descriptor
    const [, first, last, total] =
      /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(headers['content-range'] ?? '') ?? []
    const end = Number(last) + 1
    if (total !== undefined && total !== '*' && Number(total) !== size) {
      body.drop()
      throw this.#mismatch(`${total} bytes`)
    }
    if (Number(first) === this.position && end > this.position && end <= this.end) return { start: this.position, end }
    body.drop()
    this.#ranges = false
    throw new TransientError(
      'NETWORK',
      `Cannot ${this.#action}: asked for bytes from ${this.position}, the registry sends others`,
    )
  }

  /**
   * Returns the error for a 416: either the blob is shorter than its descriptor says, or the registry does not do
   * ranges.
   */
  #rangeRefused(contentRange: string | undefined): OnefoldError {
    const total = /^bytes \*\/(\d{1,16})$/.exec(contentRange ?? '')?.[1]
    if (total !== undefined && Number(total) !== this.#descriptor.size) return this.#mismatch(`${total} bytes`)
    this.#ranges = false
    return new TransientError('NETWORK', `Cannot ${this.#action}: the registry refuses bytes from ${this.position}`)
  }

  #mismatch(found: string): OnefoldError {
    const message = `Cannot ${this.#action}: expected ${this.#descriptor.size} bytes, the registry has ${found}`
    return new OnefoldError('DIGEST_MISMATCH', message)
  }
}

function checkOffset(offset: number, size: number, action: string): number {
  if (Number.isSafeInteger(offset) && offset >= 0 && offset <= size) return offset
  throw new OnefoldError('USAGE', `Cannot ${action} from byte ${offset}: expected 0 to ${size}`)
}

function encodingNote(encoding: string | undefined): string {
  return encoding === undefined || encoding === 'identity'
    ? ''
    : ` in Content-Encoding ${JSON.stringify(encoding.slice(0, 40))}`
}
