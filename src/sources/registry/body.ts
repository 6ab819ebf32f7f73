import type { IncomingMessage } from 'node:http'
import { OnefoldError } from '../../error.ts'
import { TransientError } from './retry.ts'

export interface BodyOptions {
  /** For errors: what is being done, as in "Cannot ⟨…⟩". */
  readonly action: string
  /** Milliseconds that the other side may stay silent while we wait for it; a slow reader of ours does not count. */
  readonly stallTimeout: number
  readonly signal?: AbortSignal | undefined
}

type State = 'open' | 'ended' | 'broken' | 'stalled'

/** So much is read ahead of the reader before the connection is held back. */
const aheadMax = 1024 * 1024

/** The chunks of a body as they come, without a copy. A body that breaks off is a TransientError. */
export async function* bodyChunks(message: IncomingMessage, options: BodyOptions): AsyncGenerator<Uint8Array> {
  const { action, stallTimeout, signal } = options
  const queue: Uint8Array[] = []
  let ahead = 0
  let state = 'open' as State
  let wake: (() => void) | undefined
  const change = (next: State): void => {
    if (state === 'open') state = next
    wake?.()
  }
  const broken = (): void => change('broken')
  const timer = setTimeout(() => {
    if (wake !== undefined) change('stalled')
  }, stallTimeout)
  message.on('data', (chunk: Uint8Array) => {
    queue.push(chunk)
    ahead += chunk.length
    if (ahead >= aheadMax) message.pause()
    wake?.()
  })
  message.on('error', broken)
  message.on('close', () => change(message.complete ? 'ended' : 'broken'))
  message.on('end', () => change(message.complete ? 'ended' : 'broken'))
  signal?.addEventListener('abort', broken)
  if (message.destroyed) broken()
  try {
    for (;;) {
      for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
        ahead -= chunk.length
        if (ahead < aheadMax / 2 && message.isPaused()) message.resume()
        signal?.throwIfAborted()
        yield chunk
      }
      signal?.throwIfAborted()
      if (state === 'ended') return
      if (state !== 'open') throw new TransientError('NETWORK', `Cannot ${action}: ${found(state, stallTimeout)}`)
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      timer.refresh()
      await promise
      wake = undefined
    }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', broken)
    if (state !== 'ended') message.destroy()
  }
}

/** A whole small body; LIMIT when it is longer than `limit` bytes. */
export async function readBody(message: IncomingMessage, limit: number, options: BodyOptions): Promise<Buffer> {
  const announced = Number(message.headers['content-length'] ?? 0)
  if (announced > limit) {
    message.destroy()
    throw tooLong(options.action, `${announced} bytes`, limit)
  }
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of bodyChunks(message, options)) {
    length += chunk.length
    if (length > limit) throw tooLong(options.action, 'more', limit)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

function found(state: State, stallTimeout: number): string {
  return state === 'stalled' ? `nothing came for ${stallTimeout / 1000} s` : 'the connection broke off'
}

function tooLong(action: string, found: string, limit: number): OnefoldError {
  return new OnefoldError('LIMIT', `Cannot ${action}: expected at most ${limit} bytes, the registry sends ${found}`)
}
