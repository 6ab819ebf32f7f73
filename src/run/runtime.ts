import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { OnefoldError } from '../error.ts'
import { readMounts } from '../linux/mountinfo.ts'

export const knownRuntimes = ['crun', 'runc'] as const

/**
 * Returns the absolute path of a runtime: the one that is asked for (a name or a path), else the first that is
 * installed.
 */
export function findRuntime(wanted: string | undefined, path = process.env['PATH'] ?? ''): string {
  const names = wanted === undefined ? knownRuntimes : [wanted]
  const candidates = names.flatMap((name) =>
    name.includes('/') ? [name] : [...path.split(delimiter), '/usr/sbin', '/sbin'].map((folder) => join(folder, name)),
  )
  const found = candidates.find(isExecutable)
  if (found !== undefined) return found
  throw new OnefoldError('NOT_FOUND', `Cannot run a container: there is no ${names.join(' or ')} on this machine`, {
    hint: 'install crun or runc, or name another OCI runtime with --runtime',
  })
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Returns the command line that calls a runtime: `run --bundle …`, `kill …`. `hybridCgroups` is what
 * hybridCgroupMount() returned.
 */
export function runtimeCommand(
  runtime: string,
  hybridCgroups: string | undefined,
  ...args: string[]
): [program: string, ...args: string[]] {
  if (hybridCgroups === undefined || !/(^|\/)crun$/.test(runtime)) return [runtime, ...args]
  // crun refuses machines that show version 2 beside version 1: in a mount namespace of its own it sees only version 1.
  return ['unshare', '--mount', 'sh', '-c', 'umount "$0" && exec "$@"', hybridCgroups, runtime, ...args]
}

/** Returns the path at which cgroup version 2 shows beside controllers of version 1, if it does. */
export function hybridCgroupMount(): string | undefined {
  const mounts = readMounts()
  if (!mounts.some((mount) => mount.type === 'cgroup')) return undefined
  return mounts.find((mount) => mount.type === 'cgroup2')?.target
}

/** Error of a program that could not be started: 127 when it is not there, 126 when it cannot be executed. */
export class ProgramError extends OnefoldError {
  readonly exitCode: 126 | 127

  constructor(exitCode: 126 | 127, message: string) {
    super(exitCode === 127 ? 'NOT_FOUND' : 'UNSUPPORTED', message)
    this.exitCode = exitCode
  }
}

/** Returns the error a runtime logged, if it failed before the program ran. */
export function readRuntimeError(log: string, program: string): OnefoldError | undefined {
  let text = ''
  try {
    text = readFileSync(log, 'utf8')
  } catch {
    return undefined
  }
  return parseRuntimeError(text, program)
}

/**
 * Parses a runtime's log: one JSON object a line with `level` and `msg`. The words are those of crun 1.8 and runc 1.1.
 */
export function parseRuntimeError(log: string, program: string): OnefoldError | undefined {
  const message = log.split('\n').flatMap(errorMessage).at(-1)
  if (message === undefined) return undefined
  const cannot = `Cannot run ${JSON.stringify(program)}: ${message}`
  if (/executable file .*not found|exec: .*no such file/i.test(message)) return new ProgramError(127, cannot)
  if (/open executable: |exec: .*permission denied|exec format error/i.test(message))
    return new ProgramError(126, cannot)
  return new OnefoldError('IO', cannot)
}

function errorMessage(line: string): string[] {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('msg' in value) || !('level' in value)) return []
    return value.level === 'error' && typeof value.msg === 'string' ? [value.msg] : []
  } catch {
    return []
  }
}
