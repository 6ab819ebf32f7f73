import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** `bin/onefold`, as its users run it. */
export const onefold = fileURLToPath(new URL('../bin/onefold', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface CommandOptions {
  /** In place of ours; without it the command gets ours and `more`. */
  readonly env?: NodeJS.ProcessEnv
  readonly more?: Readonly<Record<string, string>>
  /** Run as this user and group, with no other group. */
  readonly uid?: number
  readonly cwd?: string
}

/** Runs `onefold` to its end. */
export function runOnefold(args: readonly string[], options: CommandOptions = {}): Ended {
  const { env = { ...process.env, ...options.more }, uid, cwd } = options
  const prefix =
    uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--bounding-set=-all']
  const [program = onefold, ...rest] = [...prefix, onefold, ...args]
  const { status, stdout, stderr, error } = spawnSync(program, rest, {
    encoding: 'utf8',
    env,
    maxBuffer: 256 * 1024 * 1024,
    ...(cwd === undefined ? {} : { cwd }),
  })
  if (error !== undefined) throw error
  return { code: status, out: stdout, err: stderr }
}
