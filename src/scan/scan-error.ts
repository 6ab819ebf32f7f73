import { type Code, OnefoldError, describeErrno } from '../error.ts'
import { errnoBehind } from '../linux/libc.ts'
import { pathToUtf8 } from '../paths.ts'

/** A failure while a tree was read, as data that can cross threads. */
export interface ScanFailure {
  /** The action that failed: looking up a name or reading a file, hashing one, putting an object into its directory. */
  readonly action: 'read' | 'hash' | 'store'
  /** The file, or the directory of objects; one char per byte. */
  readonly path: string
  /** The system's answer; undefined when the file changed while it was being read. */
  readonly errno: string | undefined
}

/** An error that still knows what failed, for callers that have words of their own for it. */
export class ScanError extends OnefoldError {
  readonly failure: ScanFailure

  constructor(failure: ScanFailure, cause?: unknown) {
    super(codeOf(failure), messageOf(failure), {
      cause,
      ...(failure.errno === undefined && { hint: 'Stop what writes there, or read a snapshot or a copy.' }),
    })
    this.failure = failure
  }
}

/** Turns what the system refused into a ScanError that names the path; any other error stays what it is. */
export function scanError(action: ScanFailure['action'], path: string, error: unknown): unknown {
  const errno = errnoBehind(error)
  return errno === undefined || error instanceof ScanError ? error : new ScanError({ action, path, errno }, error)
}

/** Calls `work` with errors as `scanError` makes them. */
export function scanning<T>(action: ScanFailure['action'], path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw scanError(action, path, error)
  }
}

/** The error for a file that is not what it was a moment ago. */
export function changedWhileRead(action: ScanFailure['action'], path: string): ScanError {
  return new ScanError({ action, path, errno: undefined })
}

const codes: ReadonlyMap<string, Code> = new Map<string, Code>([
  ['ENOENT', 'NOT_FOUND'],
  ['ENOTDIR', 'NOT_FOUND'],
  ['EACCES', 'DENIED'],
  ['EPERM', 'DENIED'],
])

function codeOf({ errno }: ScanFailure): Code {
  return errno === undefined ? 'DIGEST_MISMATCH' : (codes.get(errno) ?? 'IO')
}

const actions: Readonly<Record<ScanFailure['action'], string>> = {
  read: 'read',
  hash: 'hash',
  store: 'put an object into',
}

const changes: Readonly<Record<ScanFailure['action'], string>> = {
  read: 'it changed while the tree was being read',
  hash: 'it changed while it was being read',
  store: 'the file changed while it was being copied',
}

const reasons: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'permission denied'],
])

function messageOf({ action, path, errno }: ScanFailure): string {
  const reason = errno === undefined ? changes[action] : (reasons.get(errno) ?? describeErrno(errno))
  return `Cannot ${actions[action]} ${JSON.stringify(pathToUtf8(path))}: ${reason}`
}
