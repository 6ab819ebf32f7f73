import { type Code, OnefoldError } from '../error.ts'
import { RingAborted } from './ring.ts'

/** Answer of a thread to a job. */
export type ThreadReply<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly error: PackedError }
  /** The job only stopped because the other side of a ring gave up, which reports why. */
  | { readonly kind: 'aborted' }

/** Copy of an error that can go between threads, where classes do not survive. */
export interface PackedError {
  readonly message: string
  readonly stack: string | undefined
  /** Details of a OnefoldError; undefined for any other error, which is a bug unless it is a cause. */
  readonly details: { readonly code: Code; readonly hint: string | undefined } | undefined
  /** Class of any other error. */
  readonly name: string
  /** The `ENOENT`-style code that errors of Node's own fs have. */
  readonly errno: string | undefined
  readonly cause: PackedError | undefined
}

/** Number of causes that are carried along: more than errors have, and an end where they form a circle. */
const causesMax = 16

export function failureReply(error: unknown): ThreadReply<never> {
  return error instanceof RingAborted ? { kind: 'aborted' } : { kind: 'failed', error: packError(error) }
}

/** Returns the result, or throws the error that the thread had. */
export function resultOf<Result>(reply: ThreadReply<Result>): Result {
  switch (reply.kind) {
    case 'done':
      return reply.result
    case 'failed':
      throw unpackError(reply.error)
    case 'aborted':
      throw new RingAborted()
  }
}

export function packError(error: unknown, causes = causesMax): PackedError {
  const known = error instanceof Error ? error : new Error(String(error))
  const { message, stack, name, cause } = known
  return {
    message,
    stack,
    details: known instanceof OnefoldError ? { code: known.code, hint: known.hint } : undefined,
    name,
    errno: 'code' in known && typeof known.code === 'string' ? known.code : undefined,
    cause: cause === undefined || causes === 0 ? undefined : packError(cause, causes - 1),
  }
}

export function unpackError(packed: PackedError): Error {
  const cause = packed.cause && unpackError(packed.cause)
  const error = packed.details === undefined ? otherError(packed, cause) : onefoldError(packed, packed.details, cause)
  if (packed.stack !== undefined) error.stack = packed.stack
  return error
}

function onefoldError(
  { message }: PackedError,
  { code, hint }: NonNullable<PackedError['details']>,
  cause?: Error,
): Error {
  return new OnefoldError(code, message, { cause, ...(hint !== undefined && { hint }) })
}

function otherError({ message, name, errno }: PackedError, cause?: Error): Error {
  const error = new Error(message, cause && { cause })
  error.name = name
  return errno === undefined ? error : Object.assign(error, { code: errno })
}
