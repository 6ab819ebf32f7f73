import type { IncomingMessage } from 'node:http'
import { OnefoldError } from '../../error.ts'
import { TransientError } from './retry.ts'

/** Body of an answer as it comes in, pushed by the other side and pulled by us. */
export interface ResponseBody {
  /** 'ended' once all bytes have come as announced; there may still be some to take. */
  readonly state: 'open' | 'ended' | 'broken'
  /** Returns the bytes that are there, without waiting. */
  take(): Uint8Array | undefined
  /** Called when there is more to take or the state has changed. */
  notify: () => void
  /** Gives up the rest, which nobody wants. */
  drop(): void
}

export interface ReadOptions {
  /** Action for errors, as in "Cannot ⟨…⟩". */
  readonly action: string
  /**
   * Time in milliseconds that the other side may stay silent while we wait for it; a slow reader of ours does not
   * count.
   */
  readonly stallTimeout: number
  readonly signal?: AbortSignal | undefined
}

/** Number of bytes that are read ahead of the reader before the connection is held back. */
const aheadMax = 1024 * 1024

/** Yields the chunks of a body until it ends; one that breaks off or falls silent throws a TransientError. */
export async function* bodyChunks(body: ResponseBody, options: ReadOptions): AsyncGenerator<Uint8Array> {
  const { action, stallTimeout, signal } = options
  let wake: (() => void) | undefined
  let stalled = false
  const stop = (): void => wake?.()
  const timer = setTimeout(() => {
    stalled = wake !== undefined
    wake?.()
  }, stallTimeout)
  body.notify = stop
  signal?.addEventListener('abort', stop)
  try {
    for (;;) {
      signal?.throwIfAborted()
      const chunk = body.take()
      if (chunk !== undefined) {
        yield chunk
        continue
      }
      if (body.state === 'ended') return
      if (body.state === 'broken') throw transient(action, 'the connection broke off')
      if (stalled) throw transient(action, `nothing came for ${stallTimeout / 1000} s`)
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      timer.refresh()
      await promise
      wake = undefined
    }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    if (body.state !== 'ended') body.drop()
  }
}

/** Reads a small body as a whole; throws LIMIT when it is longer than `limit` bytes. */
export async function readBody(body: ResponseBody, limit: number, options: ReadOptions): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bodyChunks(body, options)) {
    length += chunk.length
    if (length > limit)
      throw new OnefoldError(
        'LIMIT',
        `Cannot ${options.action}: expected at most ${limit} bytes, the registry sends more`,
      )
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

/** Body as node:http parses it. Its chunks are new buffers, which the reader may keep. */
export class MessageBody implements ResponseBody {
  state: ResponseBody['state'] = 'open'
  notify = (): void => undefined
  readonly #message: IncomingMessage
  readonly #chunks: Uint8Array[] = []
  #ahead = 0

  constructor(message: IncomingMessage) {
    this.#message = message
    const closed = (): void => this.#close(message.complete ? 'ended' : 'broken')
    message.on('data', (chunk: Uint8Array) => this.#add(chunk))
    message.on('end', closed)
    message.on('close', closed)
    message.on('error', () => this.#close('broken'))
  }

  take(): Uint8Array | undefined {
    const chunk = this.#chunks.shift()
    this.#ahead -= chunk?.length ?? 0
    if (this.#ahead < aheadMax / 2 && this.#message.isPaused()) this.#message.resume()
    return chunk
  }

  /** Gives up the rest; a short one is read, which keeps the connection for the next request. */
  drop(): void {
    this.#message.removeAllListeners('data')
    // The answer to a HEAD tells the length of a body that does not come.
    if (this.#message.complete) this.#message.resume()
    else if (Number(this.#message.headers['content-length'] ?? Infinity) <= 64 * 1024) this.#message.resume()
    else this.#message.destroy()
  }

  #add(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#ahead += chunk.length
    if (this.#ahead >= aheadMax) this.#message.pause()
    this.notify()
  }

  #close(state: ResponseBody['state']): void {
    if (this.state === 'open') this.state = state
    this.notify()
  }
}

function transient(action: string, found: string): TransientError {
  return new TransientError('NETWORK', `Cannot ${action}: ${found}`)
}
