import { constants } from 'node:os'
import { getSystemErrorMessage } from 'node:util'

/**
 * Kinds of failure that a caller may tell apart. A message reads "Cannot ⟨action⟩ ⟨"quoted value"⟩: ⟨what was found,
 * what was expected⟩"; `hint` says what to do next, where there is something to do.
 */
export type Code =
  | 'BAD_FORMAT' // bytes break the rules of their format
  | 'BAD_NAME' // an image name, path or digest that cannot be one
  | 'DIGEST_MISMATCH' // bytes are not what their name says
  | 'LIMIT' // well-formed, but larger than we accept
  | 'NOT_FOUND' // what was asked for is not there
  | 'EXISTS' // what should be made is there already
  | 'BUSY' // in use by a mount, a transaction or another process
  | 'UNSUPPORTED' // well-formed, but not something onefold, or this kernel, can do
  | 'DENIED' // permission or credentials are missing
  | 'NETWORK' // the other side did not answer, or not as the protocol says
  | 'CORRUPT' // the store itself is damaged
  | 'IO' // a file or a kernel call failed
  | 'USAGE' // the command line, or the arguments of a call, make no sense

export interface ErrorDetails extends ErrorOptions {
  /** One sentence: what the reader of the message can do now. */
  readonly hint?: string
}

/** The one error that onefold throws on purpose; everything else that escapes is a bug. */
export class OnefoldError extends Error {
  override readonly name = 'OnefoldError'
  readonly code: Code
  readonly hint: string | undefined

  constructor(code: Code, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.hint = details.hint
  }
}

export function hasCode(error: unknown, code: Code): error is OnefoldError {
  return error instanceof OnefoldError && error.code === code
}

/**
 * Describes an error number as the system does, for people and for search engines: `no space left on device (ENOSPC)`.
 */
export function describeErrno(name: string): string {
  const number = Object.entries(constants.errno).find(([known]) => known === name)?.[1]
  return number === undefined ? name : `${getSystemErrorMessage(-number)} (${name})`
}

/** Returns the `ENOENT`-style code of an error from Node's own `fs`, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
