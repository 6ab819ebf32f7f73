import type { ClientRequest } from 'node:http'

/** Body of a request, from the first byte each time it is asked for; the chunks are the request's until it is over. */
export interface RequestBody {
  /** Exact number of bytes. */
  readonly length: number
  chunks(): AsyncIterable<Uint8Array>
}

/**
 * Writes a body as fast as the other side takes it. One that answers or closes before it has everything gets no more:
 * it has made its decision.
 * @param onProgress called for every chunk that is handed over
 */
export async function sendBody(sent: ClientRequest, body: RequestBody, onProgress: () => void): Promise<void> {
  let isOver = false
  let wake: (() => void) | undefined
  const end = (): void => {
    isOver = true
    wake?.()
  }
  sent.on('response', (message) => {
    end()
    // Its connection is of no more use: the rest of the body is what the other side would read as the next request.
    if (!sent.writableEnded) message.once('close', () => sent.destroy())
  })
  sent.on('close', end)
  sent.on('drain', () => wake?.())
  for await (const chunk of body.chunks()) {
    if (isOver) return
    onProgress()
    if (sent.write(chunk)) continue
    const { promise, resolve } = Promise.withResolvers<void>()
    wake = resolve
    if (!isOver) await promise
  }
  if (!isOver) sent.end()
}
