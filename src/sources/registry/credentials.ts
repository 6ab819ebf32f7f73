import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { AbortOptions } from '../../abort.ts'
import { OnefoldError, describeErrno, errnoOf } from '../../error.ts'
import { type JsonMembers, isJsonObject } from '../../formats/json.ts'
import { parseSecret } from './secret-json.ts'

/**
 * Credentials of a user at a registry, as `docker login` and `podman login` leave them in JSON:
 *
 *     { "auths": { "HOST[:PORT][/NAMESPACE…]": { "auth": base64("user:password"), "identitytoken": "…" } },
 *       "credHelpers": { "HOST": "NAME" },     → program docker-credential-NAME
 *       "credsStore": "NAME" }
 *
 * Keys of old files may be URLs (`https://index.docker.io/v1/` is Docker Hub's to this day).
 */
export type Credentials =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, exchanged at the token server. */
  | { readonly kind: 'identity'; readonly token: string }
  /** A bearer token as it is. */
  | { readonly kind: 'bearer'; readonly token: string }

export interface CredentialOptions extends AbortOptions {
  /** Environment by which files and helpers are found; default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
}

interface AuthConfig {
  readonly auths: JsonMembers
  readonly credHelpers: JsonMembers
  readonly credsStore: unknown
}

const hubKeys = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', 'registry-1.docker.io']

/** Finds the credentials for a repository, in the first file that has any; undefined means anonymous. */
export async function findCredentials(
  host: string,
  repository: string,
  options: CredentialOptions = {},
): Promise<Credentials | undefined> {
  const env = options.env ?? process.env
  for (const path of configPaths(env)) {
    const config = await readConfig(path)
    if (config === undefined) continue
    const found = (await fromHelpers(config, host, env, options.signal)) ?? fromAuths(config, host, repository, path)
    if (found !== undefined) return found
  }
  return undefined
}

/** Returns the configuration files, the most specific first, as podman and skopeo look; docker's own file last. */
function configPaths(env: Readonly<Record<string, string | undefined>>): string[] {
  const home = env['HOME'] || homeOfUser()
  const runtime = env['XDG_RUNTIME_DIR']
  return [
    ...(env['REGISTRY_AUTH_FILE'] ? [env['REGISTRY_AUTH_FILE']] : []),
    ...(runtime ? [join(runtime, 'containers/auth.json')] : []),
    ...folder(env['XDG_CONFIG_HOME'], home, '.config').map((path) => join(path, 'containers/auth.json')),
    ...folder(env['DOCKER_CONFIG'], home, '.docker').map((path) => join(path, 'config.json')),
  ]
}

function folder(named: string | undefined, home: string | undefined, name: string): string[] {
  if (named) return [named]
  return home === undefined ? [] : [join(home, name)]
}

/** Returns the home directory; none for a user that /etc/passwd does not know, as in many containers. */
function homeOfUser(): string | undefined {
  try {
    return homedir()
  } catch {
    return undefined
  }
}

async function readConfig(path: string): Promise<AuthConfig | undefined> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    const errno = errnoOf(cause)
    if (errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'EACCES') return undefined
    throw new OnefoldError(
      'IO',
      `Cannot read credentials file ${JSON.stringify(path)}: ${errno === undefined ? String(cause) : describeErrno(errno)}`,
      { cause },
    )
  })
  if (bytes === undefined) return undefined
  const { auths, credHelpers, credsStore } = parseSecret(bytes, 'it', (found) => badConfig(path, found))
  return {
    auths: isJsonObject(auths) ? auths : {},
    credHelpers: isJsonObject(credHelpers) ? credHelpers : {},
    credsStore,
  }
}

/**
 * Asks the credential helpers: one for this host goes before the store for all hosts, and both before what the file
 * itself says.
 */
async function fromHelpers(
  config: AuthConfig,
  host: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  const key = keysOf(host).find((name) => isName(config.credHelpers[name]))
  const helper = key === undefined ? config.credsStore : config.credHelpers[key]
  return isName(helper) ? askHelper(helper, key ?? keysOf(host)[0] ?? host, env, signal) : undefined
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function fromAuths(config: AuthConfig, host: string, repository: string, path: string): Credentials | undefined {
  const byPlace = new Map(Object.entries(config.auths).map(([key, value]) => [placeOf(key), value]))
  for (const place of placesOf(host, repository)) {
    const auth = byPlace.get(place)
    const found = isJsonObject(auth) ? fromAuth(auth, path) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function fromAuth(auth: JsonMembers, path: string): Credentials | undefined {
  const text = (key: string): string => (typeof auth[key] === 'string' ? auth[key] : '')
  if (text('identitytoken') !== '') return { kind: 'identity', token: text('identitytoken') }
  if (text('registrytoken') !== '') return { kind: 'bearer', token: text('registrytoken') }
  if (text('auth') === '') {
    if (text('username') === '') return undefined
    return { kind: 'basic', username: text('username'), password: text('password') }
  }
  const [, username, password] = /^([^:]*):([^]*)$/.exec(Buffer.from(text('auth'), 'base64').toString('utf8')) ?? []
  if (username === undefined || password === undefined)
    throw badConfig(path, 'an "auth" is not base64 of user:password')
  // Some writers of the file end the password with NUL bytes.
  return { kind: 'basic', username, password: password.replace(/\0+$/, '') }
}

/** Returns the keys that a host has, the one that `docker login` writes first. */
function keysOf(host: string): readonly string[] {
  return host === 'docker.io' ? hubKeys : [host]
}

/** Returns HOST/a/b, HOST/a, HOST, and for Docker Hub the same with its other names. */
function placesOf(host: string, repository: string): string[] {
  const parts = repository.split('/')
  const prefixes = parts.map((_, index) => `/${parts.slice(0, parts.length - index).join('/')}`)
  const hosts = host === 'docker.io' ? ['docker.io', 'index.docker.io', 'registry-1.docker.io'] : [host]
  return hosts.flatMap((name) => [...prefixes.map((prefix) => name + prefix), name])
}

/** Returns a key of `auths` without the URL that old versions of docker wrapped it in. */
function placeOf(key: string): string {
  const url = /^https?:\/\//.test(key)
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  return url ? bare.replace(/\/v[12]$/, '') : bare
}

/** Asks a helper by the docker-credential-* protocol: the key on stdin of `get`, JSON on stdout. */
async function askHelper(
  helper: string,
  key: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${helper}`
  if (!/^[A-Za-z0-9._-]+$/.test(helper)) throw helperFailed(program, 'it is no program name')
  const { status, output } = await runHelper(program, key, env, signal)
  if (status !== 0) {
    if (/not found/i.test(output)) return undefined
    throw helperFailed(program, `it ended with ${status}`)
  }
  const answer = parseSecret(Buffer.from(output), 'it', (found) => badConfig(program, found))
  const { Username: username, Secret: secret } = answer
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw helperFailed(program, 'its answer has no secret')
  if (secret === '') return undefined
  if (username === '<token>') return { kind: 'identity', token: secret }
  return { kind: 'basic', username, password: secret }
}

async function runHelper(
  program: string,
  key: string,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal | undefined,
): Promise<{ status: number | string; output: string }> {
  const { execFile } = await import('node:child_process')
  signal?.throwIfAborted()
  return new Promise((resolve, reject) => {
    const options = { env: { ...env }, timeout: 60_000, maxBuffer: 1024 * 1024, signal }
    const child = execFile(program, ['get'], options, (error, output) => {
      if (signal?.aborted === true) reject(signal.reason)
      else if (error === null) resolve({ status: 0, output })
      else if (error.code === 'ENOENT') reject(helperFailed(program, 'there is no such program on PATH'))
      else resolve({ status: error.code ?? error.signal ?? 'an error', output })
    })
    // A helper that ends without reading its input is judged by its status, not by our broken pipe.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(`${key}\n`)
  })
}

function badConfig(path: string, found: string): OnefoldError {
  const hint = 'Repair the file, or write it anew with "docker login" or "podman login".'
  return new OnefoldError('BAD_FORMAT', `Cannot read credentials from ${JSON.stringify(path)}: ${found}`, { hint })
}

function helperFailed(program: string, found: string): OnefoldError {
  const hint = 'It is named by credHelpers or credsStore of your docker or podman configuration.'
  return new OnefoldError('DENIED', `Cannot ask credential helper ${JSON.stringify(program)}: ${found}`, { hint })
}
