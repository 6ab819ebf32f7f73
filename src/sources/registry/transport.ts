import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, Agent as HttpAgent, RequestOptions } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import type { SecureContext } from 'node:tls'
import { OnefoldError } from '../../error.ts'
import { ExchangeFailure, networkErrorOf, shownUrl } from './exchange-failure.ts'
import { type ResponseBody, MessageBody } from './response-body.ts'
import { isLoopback } from './reference.ts'
import { type RequestBody, sendBody } from './request-body.ts'
import { RawConnection, useRawConnections } from './raw-connection.ts'
import { type TlsFiles, tlsContext } from './tls.ts'

export interface TransportOptions {
  /**
   * Turns the checks off: certificates are not checked, plain HTTP is spoken where TLS is not, and a redirect from
   * https to http is followed.
   */
  readonly insecure?: boolean | undefined
  /** Path of a PEM file with certificate authorities to trust besides the usual ones. */
  readonly caFile?: string | undefined
  /** Folders with one folder per HOST[:PORT]; default docker's and podman's under /etc. */
  readonly certificateFolders?: readonly string[] | undefined
  /** Time in milliseconds after which a connection without a single byte is given up; default 60,000. */
  readonly stallTimeout?: number | undefined
  /** Environment with HTTP_PROXY, HTTPS_PROXY and NO_PROXY; default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'

export interface Request {
  readonly method: Method
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | RequestBody | undefined
  /** Action for errors, as in "Cannot ⟨…⟩". */
  readonly action: string
  readonly signal?: AbortSignal | undefined
  /** Lets the chunks of a large body be lent: good only until the next one is taken. */
  readonly lent?: boolean | undefined
}

export interface Response {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** URL that answered, after redirects. */
  readonly url: URL
  /**
   * True when it was not the origin that was asked: credentials stayed behind, and a refusal says nothing about them.
   */
  readonly foreign: boolean
  readonly body: ResponseBody
}

interface Connections {
  readonly agent: HttpAgent | HttpsAgent
  /** True when they trust the authorities of the operating system as well. */
  readonly system: boolean
}

interface Answer {
  readonly message: IncomingMessage
  readonly body: ResponseBody
}

/** Shortest body that is lent: lending ends the connection, a price that short bodies are not worth. */
const lentMin = 1024 * 1024
const redirectMax = 10
/** Factor by which the answer to an upload may take longer than any other. */
const uploadPatience = 5
const reading: ReadonlySet<Method> = new Set(['GET', 'HEAD'])
const redirects = new Set([301, 302, 303, 307, 308])

/** Sends HTTP requests to any number of hosts over kept connections; ends them on dispose. */
export class Transport {
  readonly #options: TransportOptions
  readonly #agents = new Map<string, Promise<Connections>>()
  readonly #answered = new Set<string>()
  /** True once the built-in authorities failed: those of the system cost 60 ms to load. */
  #systemAuthorities = false
  #closed = false

  constructor(options: TransportOptions) {
    this.#options = options
  }

  get stallTimeout(): number {
    return this.#options.stallTimeout ?? 60_000
  }

  get insecure(): boolean {
    return this.#options.insecure === true
  }

  /**
   * Sends a request and follows redirects. Another origin (scheme, host or port) never sees Authorization, nor does
   * anyone after it in the chain. Only GET and HEAD follow: a POST carries its secret in the body.
   */
  async send(request: Request): Promise<Response> {
    let { url, headers } = request
    let foreign = false
    for (let hops = 0; ; hops++) {
      const { message, body } = await this.#exchange({ ...request, url, headers })
      const status = message.statusCode ?? 0
      const location = redirects.has(status) && reading.has(request.method) ? message.headers.location : undefined
      if (location === undefined) return { status, headers: message.headers, url, foreign, body }
      body.drop()
      if (hops === redirectMax) throw failed(request, url, `it redirects more than ${redirectMax} times`)
      const next = this.#redirected(request, url, location)
      if (next.origin !== url.origin) {
        foreign = true
        headers = without(headers, 'authorization')
      }
      url = next
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    const agents = await Promise.allSettled(this.#agents.values())
    this.#agents.clear()
    for (const agent of agents) if (agent.status === 'fulfilled') agent.value.agent.destroy()
  }

  #redirected(request: Request, from: URL, location: string): URL {
    const next = URL.parse(location, from)
    if (next === null || (next.protocol !== 'http:' && next.protocol !== 'https:'))
      throw failed(request, from, 'it redirects to what is no http(s) URL')
    if (from.protocol === 'https:' && next.protocol === 'http:' && !this.insecure)
      throw failed(request, from, `it redirects from https to http (${shownUrl(next)})`)
    next.username = ''
    next.password = ''
    next.hash = ''
    return next
  }

  /** Makes one exchange; authorities of the system are added when the built-in ones do not know the certificate's. */
  async #exchange(request: Request): Promise<Answer> {
    const { action, url } = request
    for (;;) {
      if (this.#closed) throw new OnefoldError('USAGE', `Cannot ${action}: the source was closed`)
      const { agent, system } = await this.#connections(request)
      const outcome = await this.#once(request, agent)
      if (!(outcome instanceof ExchangeFailure)) {
        this.#answered.add(url.origin)
        return outcome
      }
      // A kept connection that the other side had closed meanwhile: no fault of anyone, so a new one at once.
      // Of a body that was on its way nobody knows how much arrived: its sender has to ask.
      if (outcome.reused && !outcome.stalled && typeof request.body !== 'object') continue
      if (system || !outcome.unknownAuthority) {
        const answered = this.#answered.has(url.origin)
        throw networkErrorOf(outcome, { action, url, answered, stallTimeout: this.stallTimeout })
      }
      this.#systemAuthorities = true
    }
  }

  async #once(request: Request, agent: HttpAgent | HttpsAgent): Promise<Answer | ExchangeFailure> {
    const { request: open } = request.url.protocol === 'https:' ? await import('node:https') : await import('node:http')
    request.signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Answer | ExchangeFailure>()
    const { url, method, body } = request
    const length = body === undefined ? {} : { 'content-length': String(bodyLength(body)) }
    const options: RequestOptions = { method, agent, headers: { ...request.headers, ...length } }
    if (request.signal !== undefined) options.signal = request.signal
    let stalled = false
    const sent: ClientRequest = open(url, options)
    if (request.lent === true) holdBody(sent)
    sent.on('response', (message) => resolve({ message, body: bodyOf(message, request) }))
    // Who has received a whole blob hashes it, and perhaps moves it, before he answers.
    const patience = typeof body === 'object' ? uploadPatience * this.stallTimeout : this.stallTimeout
    const timer = setTimeout(() => {
      stalled = true
      sent.destroy()
    }, patience)
    sent.on('error', (error) => {
      if (request.signal?.aborted === true) reject(request.signal.reason)
      else resolve(new ExchangeFailure(error, stalled, sent.reusedSocket))
    })
    if (typeof body !== 'object') sent.end(body)
    else
      sendBody(sent, body, () => timer.refresh()).catch((error: unknown) => {
        reject(error)
        sent.destroy()
      })
    return promise.finally(() => clearTimeout(timer))
  }

  #connections(request: Request): Promise<Connections> {
    const key = `${request.url.origin} ${this.#systemAuthorities}`
    const known = this.#agents.get(key)
    if (known !== undefined) return known
    const made = this.#connect(request.url).catch((error: unknown) => {
      this.#agents.delete(key)
      if (error instanceof OnefoldError) throw error
      // Its text may quote a proxy's URL with a password in it.
      throw failed(request, request.url, 'HTTP_PROXY or HTTPS_PROXY holds no usable proxy URL')
    })
    this.#agents.set(key, made)
    return made
  }

  async #connect(url: URL): Promise<Connections> {
    const system = this.#systemAuthorities
    const proxyEnv = isLoopback(url.host) ? undefined : proxiesOf(this.#options.env ?? process.env)
    const options = { keepAlive: true, ...(proxyEnv === undefined ? {} : { proxyEnv }) }
    const agent =
      url.protocol === 'http:'
        ? new (await import('node:http')).Agent(options)
        : new (await import('node:https')).Agent({ ...options, ...(await this.#tls(url)) })
    if (proxyEnv === undefined) useRawConnections(agent)
    return { agent, system }
  }

  async #tls(url: URL): Promise<{ secureContext: SecureContext; rejectUnauthorized: boolean }> {
    const files: TlsFiles = { ...this.#options, host: url.host, system: this.#systemAuthorities }
    return { secureContext: await tlsContext(files), rejectUnauthorized: !this.insecure }
  }
}

/** Holds the body before its first byte comes; informational answers have heads of their own. */
function holdBody(sent: ClientRequest): void {
  sent.on('socket', (socket: unknown) => {
    if (!(socket instanceof RawConnection)) return
    socket.holdBody()
    sent.on('information', () => socket.holdBody())
  })
}

function bodyLength(body: string | RequestBody): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.length
}

function bodyOf(message: IncomingMessage, request: Request): ResponseBody {
  const socket: unknown = message.socket
  if (request.lent !== true || !(socket instanceof RawConnection)) return new MessageBody(message)
  const { statusCode = 0, headers } = message
  const length = Number(headers['content-length'] ?? 0)
  if ([200, 206].includes(statusCode) && length >= lentMin && headers['transfer-encoding'] === undefined) {
    // Its parser takes the body for lost when the connection ends, and we know better.
    message.on('error', () => undefined)
    return socket.takeBody(length)
  }
  // The parser is at work on the head and cannot be given more before it has returned.
  process.nextTick(() => socket.passBody())
  return new MessageBody(message)
}

function failed(request: Request, url: URL, found: string): OnefoldError {
  return new OnefoldError('NETWORK', `Cannot ${request.action}: asked ${shownUrl(url)}, and ${found}`)
}

/**
 * Returns the variables that concern proxies, and undefined when there is no proxy: connections without one are made by
 * RawConnection.
 */
function proxiesOf(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> | undefined {
  const named = Object.entries(env).filter(([name, value]) => /^(?:https?|no)_proxy$/i.test(name) && value !== '')
  return named.some(([name]) => /^http/i.test(name)) ? Object.fromEntries(named) : undefined
}

function without(headers: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name))
}
