import { type Code, type ErrorDetails, OnefoldError } from '../../error.ts'

export interface RetryOptions {
  /** Number of tries in a row that may fail without a new byte before the error is given to the caller; default 8. */
  readonly attempts?: number | undefined
  /** Pause after the first failure, in milliseconds; doubled after each further one; default 200. */
  readonly firstDelay?: number | undefined
  /** Longest pause of our own, in milliseconds; default 15,000. */
  readonly maxDelay?: number | undefined
  /** Longest Retry-After of the other side that is honoured, in milliseconds; default 60,000. */
  readonly maxRetryAfter?: number | undefined
  /** Source of numbers in [0, 1) that spread the pauses of many clients; default Math.random. */
  readonly jitter?: (() => number) | undefined
  /** Waits; default a timer that the signal ends early. */
  readonly sleep?: ((milliseconds: number, signal: AbortSignal | undefined) => Promise<void>) | undefined
}

export interface TransientDetails extends ErrorDetails {
  readonly retryAfter?: number | undefined
  readonly attempts?: number
}

/** Failure that may not happen again: the connection broke, or the server asked for patience. */
export class TransientError extends OnefoldError {
  /** Pause that the server asked for, in milliseconds. */
  readonly retryAfter: number | undefined
  /** Limit on attempts where patience is less likely to help than elsewhere. */
  readonly attempts: number

  constructor(code: Code, message: string, details: TransientDetails = {}) {
    super(code, message, { hint: 'Try again later: what has arrived whole is not sent again.', ...details })
    this.retryAfter = details.retryAfter
    this.attempts = details.attempts ?? Infinity
  }
}

/** Counts the failures of one operation and waits between its tries. */
export class Attempts {
  readonly #options: RetryOptions
  #failed = 0

  constructor(options: RetryOptions) {
    this.#options = options
  }

  /** Notes that something new arrived: the next failure is the first again. */
  progress(): void {
    this.#failed = 0
  }

  /** Returns when it is time for the next try; throws `error` when it cannot help or there were too many. */
  async pause(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    this.#failed += 1
    signal?.throwIfAborted()
    if (!(error instanceof TransientError)) throw error
    if (this.#failed >= Math.min(this.#options.attempts ?? 8, error.attempts)) throw error
    await (this.#options.sleep ?? sleep)(this.#delay(error.retryAfter), signal)
    signal?.throwIfAborted()
  }

  #delay(retryAfter: number | undefined): number {
    const { firstDelay = 200, maxDelay = 15_000, maxRetryAfter = 60_000, jitter = Math.random } = this.#options
    const own = Math.min(maxDelay, firstDelay * 2 ** (this.#failed - 1)) * (0.5 + jitter() / 2)
    return retryAfter === undefined ? own : Math.max(own, Math.min(retryAfter, maxRetryAfter))
  }
}

/** Runs `attempt` until it succeeds, fails for good, or has failed too often. */
export async function retrying<T>(
  options: RetryOptions,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
): Promise<T> {
  const attempts = new Attempts(options)
  for (;;)
    try {
      return await attempt()
    } catch (error) {
      await attempts.pause(error, signal)
    }
}

/**
 * Parses Retry-After (RFC 9110, 10.2.3), seconds or an HTTP date; returns milliseconds from `now`, undefined when it is
 * neither.
 */
export function parseRetryAfter(value: string | undefined, now: number): number | undefined {
  const text = value?.trim() ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const date = /^[A-Z][a-z]{2}[a-z]*, /.test(text) ? Date.parse(text) : NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

function sleep(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, milliseconds)
    signal?.addEventListener('abort', end)
  })
}
