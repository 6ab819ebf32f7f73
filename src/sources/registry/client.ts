import { type Code, type ErrorDetails, OnefoldError } from '../../error.ts'
import { readJson } from '../../formats/json.ts'
import { abortable } from './abort.ts'
import { Authorizer } from './auth.ts'
import { type CredentialOptions, type Credentials, findCredentials } from './credentials.ts'
import { shownUrl, speaksNoTls } from './exchange-failure.ts'
import { readBody } from './response-body.ts'
import { type Reference, isLoopback, transportHost } from './reference.ts'
import { type RetryOptions, TransientError, parseRetryAfter, retrying } from './retry.ts'
import type { RequestBody } from './request-body.ts'
import { type Method, type Request, type Response, Transport, type TransportOptions } from './transport.ts'

export interface RegistryOptions extends TransportOptions, CredentialOptions {
  /** Credentials to use instead of those that the files and helpers of docker and podman know. */
  readonly credentials?: Credentials | undefined
  readonly retry?: RetryOptions | undefined
  /** Access that we want; default pull. */
  readonly access?: 'pull' | 'push' | undefined
}

/** One read request to the registry about one repository. */
export interface Question {
  /** Path below `/v2/NAME/`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly action: string
  readonly signal?: AbortSignal | undefined
  /** Lets the body be lent, as in a Request. */
  readonly lent?: boolean | undefined
}

/** Request of another kind than reading. */
export interface RegistryCommand extends Omit<Question, 'path'> {
  readonly method: Method
  /** Path below `/v2/NAME/`, or a whole URL that the registry gave us; credentials go to its own origin alone. */
  readonly path: string | URL
  readonly body?: string | RequestBody | undefined
  /** Statuses that are an answer; all others are thrown. */
  readonly expected: readonly number[]
}

type Asking = Pick<Question, 'action' | 'signal'>

const readStatuses = [200, 206, 416]
const errorBodyMax = 64 * 1024

/** Client of the OCI distribution API (1.1) and Docker's registry API v2, for one repository. */
export class RegistryClient {
  readonly transport: Transport
  readonly retry: RetryOptions
  readonly #reference: Reference
  readonly #authorizer: Authorizer
  #origin: Promise<string> | undefined

  constructor(reference: Reference, options: RegistryOptions) {
    const { host, repository } = reference
    this.#reference = reference
    this.retry = options.retry ?? {}
    this.transport = new Transport(options)
    const credentials = (): Promise<Credentials | undefined> =>
      options.credentials === undefined
        ? findCredentials(host, repository, options)
        : Promise.resolve(options.credentials)
    const { transport, retry } = this
    const access = options.access ?? 'pull'
    this.#authorizer = new Authorizer({ transport, host, repository, access, credentials, retry })
  }

  /** Reads a small document as a whole; tries until it has all of it. */
  async document(question: Question, limit: number): Promise<{ bytes: Buffer; response: Response }> {
    return retrying(this.retry, question.signal, async () => {
      const response = await this.open(question)
      const bytes = await readBody(response.body, limit, { ...question, stallTimeout: this.transport.stallTimeout })
      return { bytes, response }
    })
  }

  /**
   * Makes one try, authorized. Returns 200 and 206 (and 416, which a range may meet) with the body still to come;
   * everything else is thrown, as a TransientError when another try may help.
   */
  async open(question: Question): Promise<Response> {
    return this.ask({ ...question, method: 'GET', expected: readStatuses })
  }

  /** Does what open() does, for any request. */
  async ask(command: RegistryCommand): Promise<Response> {
    const origin = await this.#findOrigin(command)
    const { path } = command
    const url = typeof path === 'string' ? new URL(`${origin}/v2/${this.#reference.repository}/${path}`) : path
    const away = url.origin !== origin
    const headers = { 'accept-encoding': 'identity', 'user-agent': 'onefold', ...command.headers }
    for (let renewals = 0; ; renewals++) {
      const used = away ? undefined : this.#authorizer.header
      const authorization: Record<string, string> = used === undefined ? {} : { authorization: used }
      const { method, body, action, signal, lent } = command
      const request: Request = { method, body, action, signal, lent, url, headers: { ...headers, ...authorization } }
      const answer = await this.transport.send(request)
      const response = { ...answer, foreign: answer.foreign || away }
      if (command.expected.includes(response.status)) return response
      const mayRenew = response.status === 401 && !response.foreign && renewals < 2
      if (!mayRenew) throw await this.#statusError(command, response)
      response.body.drop()
      await this.#authorizer.renew(response, used, { ...request, body: undefined })
    }
  }

  /** Returns the registry's own URL that `location` names, relative to the response it came with. */
  resolve(location: string | undefined, { url }: Response, action: string): URL {
    const next = location === undefined ? null : URL.parse(location, url)
    const isUpgrade = next?.protocol === 'https:' || next?.protocol === url.protocol || this.transport.insecure
    if (next !== null && isUpgrade && /^https?:$/.test(next.protocol)) {
      next.username = ''
      next.password = ''
      return next
    }
    throw new OnefoldError('NETWORK', `Cannot ${action}: the registry does not say where to go on (Location)`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport[Symbol.asyncDispose]()
  }

  /**
   * Returns the origin: `https://…`, unless the host is this machine or was declared insecure: then the one that it
   * really speaks.
   */
  #findOrigin(question: Asking): Promise<string> {
    const host = transportHost(this.#reference.host)
    const loopback = isLoopback(host)
    if (!loopback && !this.transport.insecure) return Promise.resolve(`https://${host}`)
    const protocols = loopback ? ['http', 'https'] : ['https', 'http']
    this.#origin ??= this.#probe(protocols, host, { ...question, signal: undefined }).catch((error) => {
      this.#origin = undefined
      throw error
    })
    return abortable(this.#origin, question.signal)
  }

  /** Asks `/v2/` in the first protocol, then the second. */
  async #probe(protocols: readonly string[], host: string, question: Asking): Promise<string> {
    const failures = new Map<string, OnefoldError>()
    for (const protocol of protocols)
      try {
        const url = new URL(`${protocol}://${host}/v2/`)
        const headers = { 'accept-encoding': 'identity', 'user-agent': 'onefold' }
        const { action, signal } = question
        const response = await this.transport.send({ action, signal, method: 'GET', url, headers })
        // A TLS server tells those who come in plain text with 400.
        if (protocol === 'http' && response.status === 400) throw await this.#statusError(question, response)
        response.body.drop()
        return url.origin
      } catch (error) {
        if (!(error instanceof OnefoldError)) throw error
        failures.set(protocol, error)
      }
    const secure = failures.get('https')
    throw secure === undefined || speaksNoTls(secure) ? failures.get('http') : secure
  }

  async #statusError(question: Asking, response: Response): Promise<OnefoldError> {
    const { status, headers, foreign } = response
    const errors = foreign ? '' : await this.#readErrors(question, response)
    response.body.drop()
    const found = `${foreign ? shownUrl(response.url) : this.#reference.host} answers ${status}${errors}`
    const message = `Cannot ${question.action}: ${found}`
    if (isTransient(status))
      return new TransientError('NETWORK', message, {
        retryAfter: parseRetryAfter(headers['retry-after'], Date.now()),
        ...(status === 429 ? { hint: 'The registry limits requests; logging in often raises the limit.' } : {}),
      })
    // Where the registry sent us the permission may have run out: asked again, it gives a new one.
    if (foreign && status >= 400) return new TransientError('NETWORK', `${message} on a redirect`, { attempts: 3 })
    if (status === 401 || status === 403) return this.#authorizer.refused(question, ` (${status}${errors})`)
    const code = status === 404 ? 'NOT_FOUND' : 'NETWORK'
    const hint = status === 404 ? { hint: 'Check the repository and the tag or digest.' } : {}
    return new RefusedError(code, message, { ...hint, status, errors })
  }

  /** Reads the error list of the distribution spec as `: CODE message`, or nothing. */
  async #readErrors(question: Asking, { body, headers }: Response): Promise<string> {
    if (Number(headers['content-length'] ?? 0) > errorBodyMax) return ''
    const options = { ...question, stallTimeout: Math.min(5000, this.transport.stallTimeout) }
    const bytes = await readBody(body, errorBodyMax, options).catch((error: unknown) => {
      if (error instanceof OnefoldError) return undefined
      throw error
    })
    return bytes === undefined ? '' : describeErrors(bytes)
  }
}

export interface RefusedDetails extends ErrorDetails {
  readonly status: number
  /** Error of the registry as `: CODE message`, or nothing. */
  readonly errors: string
}

/** Error for a registry that said no, and would again. */
export class RefusedError extends OnefoldError {
  readonly status: number
  /** True when a manifest that was put names blobs that the registry does not have. */
  readonly isMissingBlob: boolean

  constructor(code: Code, message: string, { status, errors, ...details }: RefusedDetails) {
    super(code, message, details)
    this.status = status
    this.isMissingBlob = /^: (?:MANIFEST_BLOB_UNKNOWN|BLOB_UNKNOWN|MANIFEST_UNKNOWN)\b/.test(errors)
  }
}

function isTransient(status: number): boolean {
  return [408, 425, 429, 500, 502, 503, 504].includes(status)
}

/** Describes the registry's errors as one line of printable characters: they may hold anything. */
function describeErrors(bytes: Uint8Array): string {
  try {
    const [first] = readJson(bytes, 'errors').objects('errors') ?? []
    const words = [first?.string('code'), first?.string('message')]
      .filter((word) => word !== undefined && word !== '')
      .join(' ')
    const shown = words.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200)
    return shown === '' ? '' : `: ${shown}`
  } catch {
    return ''
  }
}
