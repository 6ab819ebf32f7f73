import { type ErrorDetails, OnefoldError, errnoOf } from '../../error.ts'
import { TransientError } from './retry.ts'

/** ExchangeFailure of one exchange before there was an answer. */
export class ExchangeFailure {
  readonly error: Error
  /** True when we gave up waiting; `error` is only what that led to. */
  readonly stalled: boolean
  /** True when the connection had served other requests before. */
  readonly reused: boolean

  constructor(error: Error, stalled: boolean, reused: boolean) {
    this.error = error
    this.stalled = stalled
    this.reused = reused
  }

  /** True when the certificate is fine but for who signed it. */
  get unknownAuthority(): boolean {
    return unknownAuthority.has(errnoOf(this.error) ?? '')
  }
}

export interface FailureContext {
  /** Action for errors, as in "Cannot ⟨…⟩". */
  readonly action: string
  readonly url: URL
  readonly stallTimeout: number
  /** True when this origin has answered before: its refusing a connection now is a matter of time. */
  readonly answered: boolean
}

/** Returns the error to throw; a TransientError when the next try may do better. */
export function networkErrorOf({ error, stalled }: ExchangeFailure, context: FailureContext): OnefoldError {
  const { url, action, stallTimeout, answered } = context
  const code = errnoOf(error) ?? 'no reason given'
  const where = shownUrl(url)
  if (stalled)
    return new TransientError('NETWORK', `Cannot ${action}: ${where} sent nothing for ${stallTimeout / 1000} s`)
  const { found, hint, passes } = reason(code, url)
  // A proxy's error may quote its URL, password included.
  const details: ErrorDetails = { ...(hint && { hint }), cause: code.startsWith('ERR_PROXY') ? undefined : error }
  const known = passes === 'always' || (passes === 'when it answered before' && answered)
  return new (known ? TransientError : OnefoldError)('NETWORK', `Cannot ${action}: ${found}`, details)
}

/** Tells whether the other side answered our TLS greeting with something else. */
export function speaksNoTls(error: OnefoldError): boolean {
  return noTls.has(errnoOf(error.cause) ?? '')
}

/** Returns scheme, host and path of a URL: a query may be a signature, userinfo a password. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname.length > 300 ? `${url.pathname.slice(0, 300)}…` : url.pathname}`
}

interface Reason {
  readonly found: string
  readonly hint?: string
  readonly passes: 'always' | 'when it answered before' | 'never'
}

function reason(code: string, url: URL): Reason {
  const { host, hostname } = url
  if (badCertificate.has(code)) {
    const hint = `Name its authority with --ca-file, or put it into /etc/containers/certs.d/${host}/ca.crt for good; --insecure turns checking off.`
    return { found: `the certificate of ${host} is not trusted (${code})`, hint, passes: 'never' }
  }
  if (noTls.has(code)) {
    const hint = 'If it serves plain HTTP on purpose, use --insecure.'
    return { found: `${host} does not speak TLS (${code})`, hint, passes: 'never' }
  }
  if (code === 'ECONNREFUSED') {
    const hint = 'Check the port, and that the registry is running.'
    return { found: `${host} refused the connection`, hint, passes: 'when it answered before' }
  }
  if (code === 'ENOTFOUND') {
    const hint = 'Check the name and the DNS.'
    return { found: `there is no host ${JSON.stringify(hostname)}`, hint, passes: 'when it answered before' }
  }
  if (code.startsWith('ERR_PROXY')) {
    const hint = 'Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY.'
    return { found: `the proxy did not connect us to ${host} (${code})`, hint, passes: 'when it answered before' }
  }
  return { found: `the connection to ${shownUrl(url)} broke (${code})`, passes: 'always' }
}

const unknownAuthority = new Set([
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
])

const badCertificate = new Set([
  ...unknownAuthority,
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REVOKED',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_PURPOSE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'HOSTNAME_MISMATCH',
])

const noTls = new Set([
  'EPROTO',
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_HTTP_REQUEST',
])
