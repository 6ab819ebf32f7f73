import { OnefoldError, describeErrno, errnoOf } from '../error.ts'
import { exitCodes } from './globals.ts'
import { jsonText, safeText } from './output.ts'

export interface ReportOptions {
  /** Prints one line of JSON instead of sentences; still on stderr, so that stdout holds results only. */
  readonly json: boolean
  readonly verbose: boolean
}

/** Error as a program is told: a code of OnefoldError, INTERRUPTED, or INTERNAL for what is a bug of ours. */
interface Finding {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
}

/**
 * Prints on stderr what went wrong.
 * @returns the exit code that fits
 */
export function report(error: unknown, options: ReportOptions): number {
  const found = findingOf(error)
  process.stderr.write(options.json ? jsonLine(found) : sentences(found))
  if (options.verbose && error instanceof Error) process.stderr.write(`${causes(error)}\n`)
  return exitCodeOf(found)
}

function findingOf(error: unknown): Finding {
  if (error instanceof OnefoldError) return { code: error.code, message: error.message, hint: error.hint }
  if (error instanceof Error && error.name === 'AbortError')
    return { code: 'INTERRUPTED', message: 'interrupted', hint: undefined }
  return systemFinding(error) ?? { code: 'INTERNAL', message: String(error), hint: bugHint }
}

const bugHint = 'This is a mistake in onefold. Please report it, with what --verbose adds.'

/** Returns the finding for a failed system call that nobody expected: no bug, and said without jargon. */
function systemFinding(error: unknown): Finding | undefined {
  const errno = errnoOf(error)
  if (!(error instanceof Error) || errno === undefined || !('syscall' in error)) return undefined
  const path = 'path' in error && typeof error.path === 'string' ? ` ${JSON.stringify(error.path)}` : ''
  return { code: 'IO', message: `Cannot ${String(error.syscall)}${path}: ${describeErrno(errno)}`, hint: hints[errno] }
}

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space on that file system.',
  EDQUOT: 'Free some space, or raise the quota.',
  EROFS: 'Use a store on a file system that can be written to.',
  EMFILE: 'Raise the limit on open files: ulimit -n.',
}

function jsonLine({ code, message, hint }: Finding): string {
  return `${jsonText({ error: { code, message, hint: hint ?? null } })}\n`
}

/**
 * Returns the error as sentences. Messages quote what strangers wrote: names in images, answers of registries. None of
 * it may steer a terminal.
 */
function sentences({ message, hint }: Finding): string {
  return `onefold: ${safeText(message)}\n${hint === undefined ? '' : `  ${safeText(hint)}\n`}`
}

function causes(error: Error): string {
  const own = (error.stack ?? error.message).split('\n').map(safeText).join('\n')
  return error.cause instanceof Error ? `${own}\nbecause of ${causes(error.cause)}` : own
}

function exitCodeOf({ code }: Finding): number {
  switch (code) {
    case 'INTERRUPTED':
      return exitCodes.interrupted
    case 'USAGE':
    case 'BAD_NAME':
      return exitCodes.usage
    case 'NOT_FOUND':
      return exitCodes.notFound
    default:
      return exitCodes.failed
  }
}
