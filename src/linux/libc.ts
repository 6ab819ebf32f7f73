import { createRequire } from 'node:module'
import type { LibraryHandle } from 'koffi'
import { type Code, OnefoldError, errnoOf } from '../error.ts'
import { architecture, openFlags, syscalls } from './abi.ts'

/**
 * The only calls to the kernel: functions of the C library the process already runs on, called through koffi. Loading
 * koffi costs 14 ms, so that happens at the first call and never for code that does not make one.
 *
 * Calls are synchronous, as an asynchronous one costs 30 µs on its own; code that must not block calls from a worker.
 */

type Koffi = typeof import('koffi')
type Argument = number | bigint | Uint8Array | null
type Native = (...args: Argument[]) => number
interface AsyncNative {
  async(...args: [...Argument[], (error: unknown, result: number) => void]): void
}

let koffi: Koffi | undefined
let library: LibraryHandle | undefined
let errnoNames: ReadonlyMap<number, string> | undefined

function load(): LibraryHandle {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi
  library ??= koffi.load(null)
  return library
}

/** C types of arguments by the letters that declare a call; pointers are byte arrays, nothing is ever a C string. */
const argumentTypes = { i: 'int', l: 'int64_t', p: 'void *' } as const
type Letter = keyof typeof argumentTypes

function bind(symbol: string, result: 'int' | 'int64_t', letters: string): Native & AsyncNative {
  const types = Array.from(letters).map((letter) => argumentTypes[letter as Letter])
  const native: Native & AsyncNative = load().func(symbol, result, types)
  return native
}

export interface Call {
  /** Returns what the function returned; throws when it was −1. `what` completes "Cannot ⟨call⟩ …" in the error. */
  (what: string, ...args: Argument[]): number
}

/**
 * Declares a function of the C library that returns an int (whose upper half is undefined in the register), bound at
 * its first call.
 */
export function libcCall(symbol: string, letters: string): Call {
  let native: Native | undefined
  return (what, ...args) => check(symbol, what, (native ??= bind(symbol, 'int', letters))(...args))
}

/** Declares a function that returns a ssize_t. */
export function libcSizeCall(symbol: string, letters: string): Call {
  let native: Native | undefined
  return (what, ...args) => check(symbol, what, (native ??= bind(symbol, 'int64_t', letters))(...args))
}

export interface AsyncCall {
  (what: string, ...args: Argument[]): Promise<number>
}

/**
 * Declares a function returning an int that may block for seconds, run on a thread of the pool while this one goes on.
 */
export function libcAsyncCall(symbol: string, letters: string): AsyncCall {
  let native: AsyncNative | undefined
  return (what, ...args) =>
    new Promise((resolve, reject) => {
      native ??= bind(symbol, 'int', letters)
      native.async(...args, (error: unknown, result: number) => {
        if (error !== null) return reject(error)
        // koffi hands the errno of the pool's thread over to the callback.
        if (result === -1) return reject(systemError(symbol, what, errnoName(koffi?.errno() ?? 0)))
        resolve(result)
      })
    })
}

/** Declares a system call the C library has no function for. */
export function systemCall(name: keyof typeof syscalls, letters: string): Call {
  let native: Native | undefined
  return (what, ...args) => {
    native ??= bind('syscall', 'int64_t', `l${letters}`)
    return check(name, what, native(syscalls[name][architecture()], ...args))
  }
}

function check(call: string, what: string, result: number): number {
  if (result !== -1) return result
  throw systemError(call, what, errnoName(koffi?.errno() ?? 0))
}

export function openFlag(name: keyof typeof openFlags): number {
  return openFlags[name][architecture()]
}

/** Returns a path as the kernel takes it. Strings have one char per byte (latin1); NUL cannot be part of a path. */
export function cString(text: string): Uint8Array {
  if (text.includes('\0')) {
    throw new OnefoldError('BAD_NAME', `Cannot use ${JSON.stringify(text)}: a path holds no NUL byte`)
  }
  return Buffer.from(`${text}\0`, 'latin1')
}

/** Cause of the OnefoldError of a failed call; shaped like the errors of Node's own fs. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError'
  readonly code: string
  readonly syscall: string

  constructor(code: string, syscall: string) {
    super(`${syscall}: ${code}`)
    this.code = code
    this.syscall = syscall
  }
}

/**
 * Makes the error of a failed call; `what` completes the sentence that begins with the call, or with `action` where
 * that says more.
 */
export function systemError(
  call: string,
  what: string,
  errno: string,
  { action = call, detail = '' }: { readonly action?: string; readonly detail?: string } = {},
): OnefoldError {
  const message = `Cannot ${action} ${what}: ${errno}${detail === '' ? '' : `, ${detail}`}`
  return new OnefoldError(codes.get(errno) ?? 'IO', message, { cause: new SystemCallError(errno, call) })
}

const codes: ReadonlyMap<string, Code> = new Map<string, Code>([
  ['ENOENT', 'NOT_FOUND'],
  ['EEXIST', 'EXISTS'],
  ['EBUSY', 'BUSY'],
  ['EPERM', 'DENIED'],
  ['EACCES', 'DENIED'],
  ['ENOSYS', 'UNSUPPORTED'],
  ['EOPNOTSUPP', 'UNSUPPORTED'],
])

/** Tells whether an error, from here or from Node's own fs, is one of these (`'ENOENT'`, …). */
export function isErrno(error: unknown, ...names: string[]): boolean {
  const cause = error instanceof OnefoldError ? error.cause : error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' && names.includes(cause.code)
}

/** Returns the errno name that the system gave for an error, whatever was made of it since; undefined for others. */
export function errnoBehind(error: unknown): string | undefined {
  let cause = error
  while (cause instanceof OnefoldError) cause = cause.cause
  return errnoOf(cause)
}

/** Returns the errno name of a failed call, for callers that word the error again. */
export function errnoOfCall(error: unknown): string {
  if (error instanceof OnefoldError && error.cause instanceof SystemCallError) return error.cause.code
  throw error
}

function errnoName(number: number): string {
  if (errnoNames === undefined) {
    load()
    const synonyms = new Set(['EWOULDBLOCK', 'EDEADLOCK', 'ENOTSUP'])
    const pairs = Object.entries(koffi?.os.errno ?? {}).filter(([name]) => !synonyms.has(name))
    errnoNames = new Map(pairs.map(([name, value]) => [value, name]))
  }
  return errnoNames.get(number) ?? `errno ${number}`
}
