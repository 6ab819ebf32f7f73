import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { createHash, randomUUID, sign } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { needsPrograms } from '../fixtures/needs.ts'

/** For a test's `skip` option: Debian's docker-registry, and skopeo to fill it. */
export const needsRegistry: false | string = needsPrograms('docker-registry', 'skopeo')

export interface RegistryOptions {
  /** Who may come in; default everybody. */
  readonly users?: Readonly<Record<string, string>>
  /** How they show who they are: a password at the registry, or a token of `startTokenServer`. */
  readonly auth?: 'basic' | TokenServer
  readonly tls?: KeyPair
}

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Copies an image in with skopeo; `source` as skopeo names it, `name` as NAME:TAG. */
  push(source: string, name: string): Promise<void>
}

export interface KeyPair {
  readonly key: string
  readonly cert: string
}

/** Starts Debian's docker-registry on a free port of loopback, with its storage in `folder`. */
export async function startRegistry(folder: string, options: RegistryOptions = {}): Promise<TestRegistry> {
  mkdirSync(folder, { recursive: true })
  const config = join(folder, 'config.json')
  // JSON is YAML.
  writeFileSync(config, JSON.stringify(registryConfig(folder, options)))
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  const host = await listeningOn(child)
  const [[user, password] = []] = Object.entries(options.users ?? {})
  const credentials = user === undefined ? [] : ['--dest-creds', `${user}:${password}`]
  return {
    host,
    push: async (source, name) => {
      const target = `docker://${host}/${name}`
      const flags = ['copy', '--quiet', '--all', '--dest-tls-verify=false', ...credentials]
      await promisify(execFile)('skopeo', [...flags, source, target])
    },
    [Symbol.asyncDispose]: () => ended(child),
  }
}

function registryConfig(folder: string, { auth, users = {}, tls }: RegistryOptions): object {
  const certificates = tls === undefined ? {} : { tls: { certificate: tls.cert, key: tls.key } }
  return {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory: join(folder, 'storage') },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: '127.0.0.1:0', ...certificates },
    ...(auth === undefined ? {} : { auth: auth === 'basic' ? basicConfig(folder, users) : tokenConfig(auth) }),
  }
}

function basicConfig(folder: string, users: Readonly<Record<string, string>>): object {
  const path = join(folder, 'htpasswd')
  const lines = Object.entries(users).map(([user, password]) =>
    execFileSync('htpasswd', ['-Bbn', user, password], { encoding: 'utf8' }).trim(),
  )
  writeFileSync(path, `${lines.join('\n')}\n`)
  return { htpasswd: { realm: 'test registry', path } }
}

function tokenConfig(server: TokenServer): object {
  const { realm, service, issuer, keys } = server
  return { token: { realm, service, issuer, rootcertbundle: keys.cert } }
}

/** The registry logs where it listens; everything else it says is for the message when it ends too early. */
function listeningOn(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const said: string[] = []
    if (child.stderr === null) throw new Error('docker-registry has no stderr')
    createInterface({ input: child.stderr }).on('line', (line) => {
      const [, host] = /listening on (127\.0\.0\.1:\d+)/.exec(line) ?? []
      if (host !== undefined) resolve(host)
      said.push(line)
    })
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`docker-registry ended with ${code}: ${said.slice(-5).join('\n')}`)))
  })
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.on('exit', () => resolve())
    child.kill()
  })
}

export interface TokenServer extends AsyncDisposable {
  readonly realm: string
  readonly service: string
  readonly issuer: string
  readonly keys: KeyPair
  /** How long new tokens live, in seconds. */
  lifetime: number
  /** How it names the token in its answers. */
  tokenName: 'token' | 'access_token'
  readonly asked: TokenQuestion[]
}

export interface TokenQuestion {
  readonly method: string
  readonly authorization: string | undefined
  readonly form: Readonly<Record<string, string>>
}

/** A token server as docker's registry understands it: Basic or a refresh token in, a signed JWT out. */
export async function startTokenServer(
  folder: string,
  users: Readonly<Record<string, string>>,
  options: { refreshToken?: string } = {},
): Promise<TokenServer> {
  const keys = makeKeyPair(folder, 'token')
  const server = createServer((request, response) => {
    void collect(request).then((body) => {
      const fields =
        request.method === 'POST'
          ? new URLSearchParams(body)
          : new URL(request.url ?? '/', 'http://localhost').searchParams
      const form: Record<string, string> = { ...Object.fromEntries(fields), scope: fields.getAll('scope').join(' ') }
      const { authorization } = request.headers
      self.asked.push({ method: request.method ?? '', authorization, form })
      const user = form['grant_type'] === 'refresh_token' ? refresher(form, options) : userOf(authorization, users)
      if (user === undefined) return response.writeHead(401).end('{}')
      const token = makeToken(self, user, form['scope'] ?? '')
      return response.end(JSON.stringify({ [self.tokenName]: token, expires_in: self.lifetime }))
    })
  })
  const port = await listenOn(server, '127.0.0.1')
  const self: TokenServer = {
    realm: `http://127.0.0.1:${port}/token`,
    service: 'test-service, with a comma',
    issuer: 'test-issuer',
    keys,
    lifetime: 300,
    tokenName: 'token',
    asked: [],
    [Symbol.asyncDispose]: () => closeServer(server),
  }
  return self
}

function refresher(form: Readonly<Record<string, string>>, options: { refreshToken?: string }): string | undefined {
  return options.refreshToken !== undefined && form['refresh_token'] === options.refreshToken ? 'refresher' : undefined
}

function userOf(authorization: string | undefined, users: Readonly<Record<string, string>>): string | undefined {
  return Object.keys(users).find((user) => {
    const expected = `Basic ${Buffer.from(`${user}:${users[user]}`).toString('base64')}`
    return authorization === expected
  })
}

function makeToken(server: TokenServer, user: string, scopes: string): string {
  const now = Math.floor(Date.now() / 1000)
  const access = scopes.split(' ').flatMap((scope) => {
    const [, type, name, actions = ''] = /^([a-z]+):(.+):([a-z,*]+)$/.exec(scope) ?? []
    return type === undefined ? [] : [{ type, name, actions: actions.split(',') }]
  })
  const certificate = readFileSync(server.keys.cert, 'latin1').replace(/-----[A-Z ]+-----|\s/g, '')
  const header = { typ: 'JWT', alg: 'RS256', x5c: [certificate] }
  const claims = {
    iss: server.issuer,
    sub: user,
    aud: server.service,
    exp: now + server.lifetime,
    nbf: now - 10,
    iat: now - 10,
    jti: randomUUID(),
    access,
  }
  const signed = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')
  return `${signed}.${sign('RSA-SHA256', Buffer.from(signed), readFileSync(server.keys.key)).toString('base64url')}`
}

/** A self-signed certificate for 127.0.0.1 and localhost, which is its own authority. */
export function makeKeyPair(folder: string, name: string): KeyPair {
  mkdirSync(folder, { recursive: true })
  const pair = { key: join(folder, `${name}.key`), cert: join(folder, `${name}.crt`) }
  const subject = ['-subj', `/CN=onefold test ${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost']
  const files = ['-keyout', pair.key, '-out', pair.cert]
  const flags = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2']
  execFileSync('openssl', [...flags, ...subject, ...files], { stdio: 'pipe' })
  return pair
}

export interface TestImage {
  /** An OCI layout directory with one image. */
  readonly folder: string
  readonly tag: string
  readonly manifest: Buffer
  readonly manifestDigest: string
  readonly config: Buffer
  /** The blobs as they travel. */
  readonly layers: readonly Buffer[]
}

/** Writes an OCI layout of one image with a gzipped tar per element of `layers`: name → bytes of a file. */
export function makeImage(
  folder: string,
  layers: readonly Readonly<Record<string, Uint8Array | string>>[],
  tag = 'one',
): TestImage {
  const tars = layers.map(makeTar)
  const blobs = tars.map((tar) => gzipSync(tar))
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
      history: [],
    }),
  )
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(config), size: config.length },
      layers: blobs.map((blob) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: sha256(blob),
        size: blob.length,
      })),
    }),
  )
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: sha256(manifest),
        size: manifest.length,
        annotations: { 'org.opencontainers.image.ref.name': tag },
      },
    ],
  }
  mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
  for (const blob of [manifest, config, ...blobs]) writeFileSync(join(folder, 'blobs/sha256', hex(blob)), blob)
  writeFileSync(join(folder, 'index.json'), JSON.stringify(index))
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  return { folder, tag, manifest, manifestDigest: sha256(manifest), config, layers: blobs }
}

function makeTar(files: Readonly<Record<string, Uint8Array | string>>): Buffer {
  const parts: Uint8Array[] = []
  for (const [name, value] of Object.entries(files)) {
    const body = Buffer.from(value)
    parts.push(tarHeader(name, body.length), body, Buffer.alloc(-body.length & 511))
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** A ustar header of a regular file of root's, mode 0644, mtime 0. */
function tarHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(512)
  const fields: [number, string][] = [
    [0, name],
    [100, '0000644\0'],
    [108, '0000000\0'],
    [116, '0000000\0'],
    [124, `${size.toString(8).padStart(11, '0')}\0`],
    [136, '00000000000\0'],
    [148, '        '],
    [156, '0'],
    [257, 'ustar\x0000'],
  ]
  for (const [offset, text] of fields) header.write(text, offset, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** Bytes that do not compress, always the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 64) }, (_, index) =>
    createHash('sha512').update(`${seed}:${index}`).digest(),
  )
  return Buffer.concat(blocks).subarray(0, length)
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${hex(bytes)}`
}

function hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function collect(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

export function listenOn(server: Server, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, address, () => resolve((server.address() as AddressInfo).port))
  })
}

export function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
