import { OnefoldError } from '../../error.ts'
import { abortable } from './abort.ts'
import { shownUrl } from './exchange-failure.ts'
import { readBody } from './response-body.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Credentials } from './credentials.ts'
import { isLoopback } from './reference.ts'
import { type RetryOptions, TransientError, parseRetryAfter, retrying } from './retry.ts'
import { parseSecret } from './secret-json.ts'
import { type Request, type Response, Transport } from './transport.ts'

export interface AuthorizerOptions {
  readonly transport: Transport
  /** Host as in the reference, for hints: what to log in to. */
  readonly host: string
  readonly repository: string
  readonly access: 'pull' | 'push'
  /** Finds the credentials; called once, and only when the registry wants to know who we are. */
  readonly credentials: () => Promise<Credentials | undefined>
  readonly retry: RetryOptions
}

const tokenMax = 1024 * 1024

/**
 * Keeps the Authorization of one repository. A header that works is shared by all requests; a 401 makes a new one, once
 * for everybody who was refused with the same old one. A token's own `expires_in` is not looked at: clocks differ, 401
 * does not.
 */
export class Authorizer {
  readonly #options: AuthorizerOptions
  #credentials: Promise<Credentials | undefined> | undefined
  #header: string | undefined
  #renewal: Promise<void> | undefined

  constructor(options: AuthorizerOptions) {
    this.#options = options
  }

  /** Header to send now; undefined as long as nobody asked for one. */
  get header(): string | undefined {
    return this.#header
  }

  /** Answers a 401 on a request that carried `used`; afterwards `header` is worth another try. */
  async renew(response: Response, used: string | undefined, request: Request): Promise<void> {
    const challenges = parseChallenges(response.headers['www-authenticate'] ?? '')
    // Somebody else was refused with the same header and has a new one by now.
    if (this.#header !== used) return
    this.#renewal ??= this.#authorize(challenges, response.url, { ...request, signal: undefined }).finally(() => {
      this.#renewal = undefined
    })
    await abortable(this.#renewal, request.signal)
  }

  /** Returns the error for a 401 that a fresh header did not cure. */
  async refused(request: Pick<Request, 'action'>, found: string): Promise<OnefoldError> {
    const known = await this.#known().catch(() => undefined)
    const who = known === undefined ? 'without credentials' : 'with the credentials found for it'
    return new OnefoldError('DENIED', `Cannot ${request.action}: ${this.#options.host} refuses us ${who}${found}`, {
      hint: `Run "docker login ${this.#options.host}" (or podman login) with an account that may ${this.#options.access === 'push' ? 'write to' : 'read'} this repository.`,
    })
  }

  async #authorize(challenges: readonly Challenge[], asked: URL, request: Request): Promise<void> {
    const credentials = await this.#known()
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
    const basic = challenges.some((challenge) => challenge.scheme === 'basic')
    if (credentials?.kind === 'bearer') this.#header = bearerHeader(credentials.token, request)
    else if (bearer !== undefined) this.#header = await this.#token(bearer, credentials, asked, request)
    else if (basic && credentials?.kind === 'basic') this.#header = basicHeader(credentials)
    else if (basic) throw await this.refused(request, '')
    else throw failed(request, 'the registry answers 401 without a challenge we know (Bearer or Basic)')
  }

  #known(): Promise<Credentials | undefined> {
    this.#credentials ??= this.#options.credentials()
    return this.#credentials
  }

  async #token(
    challenge: Challenge,
    credentials: Credentials | undefined,
    asked: URL,
    request: Request,
  ): Promise<string> {
    const realm = URL.parse(challenge.parameters.get('realm') ?? '')
    if (realm === null || (realm.protocol !== 'http:' && realm.protocol !== 'https:'))
      throw failed(request, 'the registry names no token server (realm) that is an http(s) URL')
    realm.username = ''
    realm.password = ''
    if (credentials !== undefined) this.#checkRealm(realm, asked, request)
    const question = [
      ...(challenge.parameters.has('service') ? [['service', challenge.parameters.get('service') ?? '']] : []),
      ...this.#scopes(challenge).map((scope) => ['scope', scope]),
    ]
    const sent =
      credentials?.kind === 'identity'
        ? refreshRequest(realm, question, credentials.token, request)
        : tokenRequest(realm, question, credentials, request)
    const bytes = await retrying(this.#options.retry, request.signal, () => this.#ask(sent, credentials))
    return bearerHeader(readToken(bytes, request), request)
  }

  /**
   * Throws DENIED where plain HTTP would show the secret to anyone on the way; the registry's own host has been chosen
   * as insecure.
   */
  #checkRealm(realm: URL, asked: URL, request: Request): void {
    if (realm.protocol === 'https:' || isLoopback(realm.host)) return
    if (this.#options.transport.insecure && realm.hostname === asked.hostname) return
    throw new OnefoldError(
      'DENIED',
      `Cannot ${request.action}: the token server ${shownUrl(realm)} speaks plain HTTP, and the credentials for ${this.#options.host} are not sent in the clear`,
    )
  }

  /**
   * Returns the scopes to ask for: the registry's own words when they are about this repository, since some send a
   * fixed example. A push needs to pull as well, and asks for both at once; other scopes that the registry names (where
   * a blob is to be mounted from) come along.
   */
  #scopes(challenge: Challenge): string[] {
    const { repository, access } = this.#options
    const offered = (challenge.parameters.get('scope') ?? '').split(' ')
    const ours = (scope: string): boolean => scope.startsWith(`repository:${repository}:`)
    if (!offered.some(ours)) return [`repository:${repository}:${access === 'push' ? 'pull,push' : 'pull'}`]
    if (access === 'pull') return offered
    return [`repository:${repository}:pull,push`, ...offered.filter((scope) => !ours(scope))]
  }

  async #ask(sent: Request, credentials: Credentials | undefined): Promise<Buffer> {
    const { transport } = this.#options
    const response = await transport.send(sent)
    if (response.status === 200)
      return readBody(response.body, tokenMax, { ...sent, stallTimeout: transport.stallTimeout })
    response.body.drop()
    const found = `the token server ${shownUrl(response.url)} answers ${response.status}`
    if (response.status === 429 || response.status >= 500)
      throw new TransientError('NETWORK', `Cannot ${sent.action}: ${found}`, {
        retryAfter: parseRetryAfter(response.headers['retry-after'], Date.now()),
      })
    // An identity token meets 400 (invalid_grant) once it was revoked or has run out.
    const denied = [401, 403].includes(response.status) || (credentials !== undefined && response.status === 400)
    throw denied ? await this.refused(sent, `; ${found}`) : failed(sent, found)
  }
}

type Question = readonly (readonly string[])[]

function tokenRequest(realm: URL, question: Question, credentials: Credentials | undefined, request: Request): Request {
  const url = new URL(realm)
  for (const [key = '', value = ''] of question) url.searchParams.append(key, value)
  const headers: Record<string, string> = { ...plainHeaders }
  if (credentials?.kind === 'basic') {
    url.searchParams.set('account', credentials.username)
    headers['authorization'] = basicHeader(credentials)
  }
  return { ...request, method: 'GET', url, headers }
}

/** Makes an OAuth2 request (RFC 6749, 6) as docker does: the refresh token goes in the body of a POST. */
function refreshRequest(realm: URL, question: Question, refreshToken: string, request: Request): Request {
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'onefold', refresh_token: refreshToken })
  // Several scopes are one field here, and a field each in a query.
  for (const [key = '', value = ''] of question) {
    const before = form.get(key)
    form.set(key, before === null ? value : `${before} ${value}`)
  }
  const headers = { ...plainHeaders, 'content-type': 'application/x-www-form-urlencoded' }
  return { ...request, method: 'POST', url: realm, headers, body: form.toString() }
}

const plainHeaders = { accept: 'application/json', 'accept-encoding': 'identity', 'user-agent': 'onefold' }

function readToken(bytes: Buffer, request: Request): string {
  const answer = parseSecret(bytes, "the token server's answer", (found) => failed(request, found))
  const token = answer['token'] || answer['access_token']
  if (typeof token !== 'string') throw failed(request, "the token server's answer has no token")
  return token
}

function bearerHeader(token: string, request: Request): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw failed(request, 'the bearer token has characters that no header may have')
  return `Bearer ${token}`
}

function basicHeader(credentials: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`
}

function failed(request: Pick<Request, 'action'>, found: string): OnefoldError {
  return new OnefoldError('NETWORK', `Cannot ${request.action}: ${found}`)
}
