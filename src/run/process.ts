import { posix } from 'node:path'
import { OnefoldError } from '../error.ts'
import type { RunConfig } from '../formats/oci/image-config.ts'
import type { Account } from './user.ts'

/** Wishes of the user that replace what the image says. */
export interface ProcessOptions {
  /** Replaces the image's cmd. */
  readonly cmd?: readonly string[] | undefined
  /** Replaces the image's entrypoint, and drops its cmd, which was meant for the other. */
  readonly entrypoint?: readonly string[] | undefined
  /** Variables as `NAME=value`; `NAME` alone takes our own value, or nothing when we have none. */
  readonly env?: readonly string[] | undefined
  readonly workdir?: string | undefined
  readonly user?: string | undefined
  readonly tty?: boolean | undefined
}

export interface ProcessSpec {
  readonly args: readonly string[]
  /** Variables as `NAME=value`, every name once. */
  readonly env: readonly string[]
  /** Absolute, cleaned path of the working directory. */
  readonly cwd: string
  readonly account: Account
  readonly terminal: boolean
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Returns the process to start, from what the image says and what the user wants. `host` is our own environment. */
export function processSpec(
  config: RunConfig,
  options: ProcessOptions,
  account: Account,
  host: Readonly<Record<string, string | undefined>> = {},
): ProcessSpec {
  return {
    args: argsOf(config, options),
    env: envOf(config, options, account, host),
    cwd: posix.resolve('/', options.workdir || config.workingDir || '/'),
    account,
    terminal: options.tty ?? false,
  }
}

function argsOf(config: RunConfig, options: ProcessOptions): string[] {
  const entrypoint = options.entrypoint ?? config.entrypoint ?? []
  const cmd = options.cmd?.length ? options.cmd : options.entrypoint === undefined ? config.cmd : undefined
  const args = [...entrypoint, ...(cmd ?? [])]
  if (args.length > 0) return args
  throw new OnefoldError('USAGE', 'Cannot run the image: it names no program', { hint: 'name one after the image' })
}

function envOf(
  config: RunConfig,
  options: ProcessOptions,
  account: Account,
  host: Readonly<Record<string, string | undefined>>,
): string[] {
  const env = new Map([['PATH', defaultPath]])
  if (options.tty === true) env.set('TERM', host['TERM'] || 'xterm')
  for (const text of config.env) setVariable(env, text, undefined)
  for (const text of options.env ?? []) setVariable(env, text, host)
  if (!env.has('HOME')) env.set('HOME', account.home)
  return Array.from(env, ([name, value]) => `${name}=${value}`)
}

function setVariable(
  env: Map<string, string>,
  text: string,
  host: Readonly<Record<string, string | undefined>> | undefined,
): void {
  const equals = text.indexOf('=')
  if (equals > 0) env.set(text.slice(0, equals), text.slice(equals + 1))
  else if (equals === 0 || text === '')
    throw new OnefoldError('USAGE', `Cannot set ${JSON.stringify(text)}: expected NAME=value`)
  else if (host?.[text] !== undefined) env.set(text, host[text])
}
