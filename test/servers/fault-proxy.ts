import { readFileSync } from 'node:fs'
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
  createServer,
  request as httpRequest,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { type KeyPair, closeServer, listenOn } from './registry.ts'

/** What goes wrong with one exchange. Without any of these the registry's answer is passed on as it is. */
export interface Fault {
  /** Answer this instead of asking the registry. */
  readonly status?: number
  readonly body?: string | Uint8Array
  /** Header fields of the answer to set, or with undefined to leave out. */
  readonly headers?: Readonly<Record<string, string | undefined>>
  /** After so many bytes of the request the connection is reset; the registry hears nothing of it. */
  readonly resetAfter?: number
  /** The registry never sees the Range header, and so sends everything with 200. */
  readonly noRange?: boolean
  /** No Content-Length: the body ends where the chunks or the connection end. */
  readonly chunked?: boolean
  /** XOR the body's byte at this place with 1. */
  readonly flip?: number
  /** Bytes added behind the body; with `chunked`, or the client's parser would stop before them. */
  readonly extra?: number
  /** After so many bytes of body: the connection is closed … */
  readonly truncate?: number
  /** … reset (RST) … */
  readonly reset?: number
  /** … or left open and silent. */
  readonly stall?: number
  /** The body comes in pieces of `bytes`, one each `every` milliseconds. */
  readonly drip?: { readonly bytes: number; readonly every: number }
}

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** How many requests to the same path came before. */
  readonly before: number
  /** Bytes that the request brought along. */
  sent: Buffer
}

export interface FaultProxy extends AsyncDisposable {
  readonly host: string
  readonly url: string
  readonly seen: Seen[]
}

export interface FaultProxyOptions {
  /** 127.0.0.2 is another host for everybody who compares names. */
  readonly address?: string
  readonly tls?: KeyPair
}

/** An HTTP proxy in front of a registry at `target` (HOST:PORT, plain HTTP) that does to each exchange what `fault` says. */
export async function startFaultProxy(
  target: string,
  fault: (seen: Seen) => Fault | undefined,
  options: FaultProxyOptions = {},
): Promise<FaultProxy> {
  const seen: Seen[] = []
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const { method = '', url: path = '', headers } = request
    const now = { method, path, headers, before: seen.filter((other) => other.path === path).length, sent: none }
    seen.push(now)
    const what = fault(now) ?? {}
    receive(request, now, what)
      .then(() => answer(target, now, what, response))
      .catch(() => response.destroy())
  }
  const { tls, address = '127.0.0.1' } = options
  const server =
    tls === undefined
      ? createServer(serve)
      : createTlsServer({ key: readFileSync(tls.key), cert: readFileSync(tls.cert) }, serve)
  const host = `${address}:${await listenOn(server, address)}`
  const url = `${tls === undefined ? 'http' : 'https'}://${host}`
  return { host, url, seen, [Symbol.asyncDispose]: () => closeServer(server) }
}

const none = Buffer.alloc(0)

async function receive(request: IncomingMessage, seen: Seen, { resetAfter }: Fault): Promise<void> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    length += chunk.length
    if (resetAfter === undefined || length < resetAfter) continue
    request.socket.resetAndDestroy()
    throw new Error('reset')
  }
  seen.sent = Buffer.concat(chunks)
}

async function answer(target: string, seen: Seen, fault: Fault, response: ServerResponse): Promise<void> {
  const real = fault.status === undefined ? await forward(target, seen, fault) : made(fault.status, fault)
  const headers: OutgoingHttpHeaders = { ...real.headers, ...fault.headers }
  for (const [name, value] of Object.entries(headers))
    if (value === undefined || (fault.chunked === true && name === 'content-length')) delete headers[name]
  response.writeHead(real.status, headers)
  response.flushHeaders()
  await sendBody(response, changed(real.body, fault), fault)
}

function made(status: number, fault: Fault): { status: number; headers: IncomingHttpHeaders; body: Buffer } {
  const body = Buffer.from(fault.body ?? '')
  return { status, headers: { 'content-length': String(body.length) }, body }
}

function forward(
  target: string,
  seen: Seen,
  fault: Fault,
): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
  const headers: OutgoingHttpHeaders = { ...seen.headers, host: target }
  if (fault.noRange === true) delete headers['range']
  return new Promise((resolve, reject) => {
    const { method, path } = seen
    const sent = httpRequest(`http://${target}`, { method, path, headers, agent: false }, (message) => {
      const chunks: Buffer[] = []
      message.on('data', (chunk: Buffer) => chunks.push(chunk))
      // Also when it ends before its length: docker-registry announces a whole blob with its 416.
      message.on('error', () => undefined)
      message.on('close', () => {
        const { statusCode = 0, headers: answered } = message
        delete answered.connection
        // It names itself by the name it was asked for: uploads go on through the proxy.
        if (answered.location !== undefined)
          answered.location = answered.location.replace(`//${target}/`, `//${seen.headers.host}/`)
        resolve({ status: statusCode, headers: answered, body: Buffer.concat(chunks) })
      })
    })
    sent.on('error', reject)
    sent.end(seen.sent)
  })
}

function changed(body: Buffer, fault: Fault): Buffer {
  const bytes = Buffer.concat([body, Buffer.alloc(fault.extra ?? 0)])
  if (fault.flip !== undefined) bytes[fault.flip] = (bytes[fault.flip] ?? 0) ^ 1
  return bytes
}

async function sendBody(response: ServerResponse, body: Buffer, fault: Fault): Promise<void> {
  const cut = fault.truncate ?? fault.reset ?? fault.stall
  if (cut === undefined && fault.drip === undefined) {
    response.end(body)
    return
  }
  await drip(response, body.subarray(0, cut), fault.drip ?? { bytes: Infinity, every: 0 })
  if (cut === undefined) response.end()
  else if (fault.truncate !== undefined) response.socket?.end()
  else if (fault.reset !== undefined) response.socket?.resetAndDestroy()
}

async function drip(response: ServerResponse, body: Buffer, pace: { bytes: number; every: number }): Promise<void> {
  for (let at = 0; at < body.length && !response.destroyed; at += pace.bytes) {
    await new Promise((resolve) => response.write(body.subarray(at, at + pace.bytes), resolve))
    if (pace.every > 0) await sleep(pace.every)
  }
}
