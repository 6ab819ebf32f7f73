import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { digestOf } from '../../src/digest.ts'
import { closeServer, listenOn } from './registry.ts'

/** How a registry treats uploads, where Debian's has but one way. */
export interface UploadHabits {
  /** It refuses a PUT with the whole blob, or a PATCH, with this status. */
  readonly wholeRefused?: number
  readonly chunkRefused?: number
  /** It says that it has these, and has not: whatever `has` and `mounts` answer is all that is known of them. */
  readonly claims?: (digest: string) => boolean
  readonly mounts?: (digest: string, from: string) => boolean
  /** The Docker-Content-Digest that it answers with, where it names a blob or a manifest; `what` as in `log`. */
  readonly digests?: (digest: string, what: string) => string | undefined
  /** HEAD is answered with 405. */
  readonly headRefused?: boolean
  /** It drops the connection when this many bytes of a body have come, once for each number; it keeps those bytes. */
  readonly breaks?: number[]
  /** A broken session is forgotten. */
  readonly forgets?: boolean
  /** Manifests are taken whatever they name. */
  readonly takesAnyManifest?: boolean
}

export interface UploadRegistry extends AsyncDisposable {
  readonly host: string
  readonly blobs: Map<string, Buffer>
  readonly manifests: Map<string, Buffer>
  /** `METHOD what bytes`, where `what` is the kind of request. */
  readonly log: string[]
}

/** As much of a registry as an upload sees, in memory; every repository is the same one. */
export async function startUploadRegistry(habits: UploadHabits = {}): Promise<UploadRegistry> {
  const registry = { host: '', blobs: new Map(), manifests: new Map(), log: [] } as {
    host: string
    blobs: Map<string, Buffer>
    manifests: Map<string, Buffer>
    log: string[]
  }
  const sessions = new Map<string, Buffer>()
  const breaks = [...(habits.breaks ?? [])]
  let count = 0
  const server = createServer((request, response) => {
    serve(request, response).catch(() => request.socket.destroy())
  })
  registry.host = `127.0.0.1:${await listenOn(server, '127.0.0.1')}`
  return { ...registry, [Symbol.asyncDispose]: () => closeServer(server) }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request
    const url = new URL(request.url ?? '/', 'http://x')
    const [, kind = '', name = ''] = /^\/v2\/.+\/(blobs\/uploads|blobs|manifests)\/(.*)$/.exec(url.pathname) ?? []
    if (kind === 'blobs/uploads')
      return name === '' ? begin(url, request, response) : upload(name, url, request, response)
    const body = await bodyOf(request)
    if (kind !== '') registry.log.push(`${method} ${kind}`)
    if (kind === 'blobs') return blob(method, name, response)
    if (kind === 'manifests' && method === 'PUT') return manifest(name, body, response)
    response.writeHead(kind === '' ? 200 : 404).end()
  }

  async function begin(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    await bodyOf(request)
    const { mount, from } = Object.fromEntries(url.searchParams)
    registry.log.push(mount === undefined ? 'POST' : 'POST mount')
    if (mount !== undefined && habits.mounts?.(mount, from ?? '') === true)
      return void response.writeHead(201, { location: `/v2/app/blobs/${mount}`, ...told(mount, 'POST mount') }).end()
    const id = `s${count++}`
    sessions.set(id, Buffer.alloc(0))
    answerSession(id, 202, response)
  }

  /** The URL of a session changes with every answer, as Debian's does. */
  function answerSession(id: string, status: number, response: ServerResponse): void {
    const held = sessions.get(id)?.length ?? 0
    const location = `/v2/app/blobs/uploads/${id}?_state=${held}%3D+`
    response.writeHead(status, { location, range: `0-${Math.max(0, held - 1)}` }).end()
  }

  async function upload(id: string, url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', headers } = request
    const length = Number(headers['content-length'] ?? 0)
    registry.log.push(`${method} ${length}`)
    const before = sessions.get(id)
    if (before === undefined) return refuse(request, response, 404)
    if (method === 'GET') return answerSession(id, 204, response)
    if (method === 'DELETE') return void (sessions.delete(id), response.writeHead(204).end())
    const refused = method === 'PATCH' ? habits.chunkRefused : length > 0 ? habits.wholeRefused : undefined
    if (refused !== undefined) return refuse(request, response, refused)
    const from = Number(/^(\d+)-/.exec(headers['content-range'] ?? '0-')?.[1])
    if (from !== before.length && method === 'PATCH') return refuse(request, response, 416)
    const body = await bodyOf(request, length > 0 ? breaks.shift() : undefined)
    sessions.set(id, Buffer.concat([before, body]))
    if (body.length < length) {
      if (habits.forgets === true) sessions.delete(id)
      return void request.socket.destroy()
    }
    if (method === 'PATCH') return answerSession(id, 202, response)
    const bytes = sessions.get(id) ?? Buffer.alloc(0)
    const digest = url.searchParams.get('digest') ?? ''
    if (digestOf(bytes) !== digest) return refuse(request, response, 400)
    sessions.delete(id)
    registry.blobs.set(digest, bytes)
    response.writeHead(201, { location: `/v2/app/blobs/${digest}`, ...told(digest, 'PUT blob') }).end()
  }

  function told(digest: string, what: string): Record<string, string> {
    const answer = habits.digests?.(digest, what)
    return answer === undefined ? {} : { 'docker-content-digest': answer }
  }

  function blob(method: string, digest: string, response: ServerResponse): void {
    const bytes = registry.blobs.get(digest)
    if (method === 'HEAD' && habits.headRefused === true) response.writeHead(405).end()
    else if (bytes !== undefined) response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    else if (habits.claims?.(digest) === true) response.writeHead(200, told(digest, 'HEAD')).end()
    else response.writeHead(404).end()
  }

  function manifest(name: string, body: Buffer, response: ServerResponse): void {
    const named = Array.from(body.toString().matchAll(/"digest":"(sha256:[0-9a-f]+)"/g), ([, digest = '']) => digest)
    const missing = named.find((digest) => !registry.blobs.has(digest) && !registry.manifests.has(digest))
    if (missing !== undefined && habits.takesAnyManifest !== true) {
      const error = { code: 'MANIFEST_BLOB_UNKNOWN', message: 'blob unknown to registry' }
      response.writeHead(400).end(JSON.stringify({ errors: [error] }))
      return
    }
    registry.manifests.set(name, body)
    response.writeHead(201, told(digestOf(body), 'PUT manifest')).end()
  }
}

async function refuse(request: IncomingMessage, response: ServerResponse, status: number): Promise<void> {
  await bodyOf(request)
  response.writeHead(status).end()
}

/** The body, or as much of it as `most` lets through. */
async function bodyOf(request: IncomingMessage, most = Infinity): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    const taken = chunk.subarray(0, most - length)
    chunks.push(taken)
    length += taken.length
    if (length >= most) break
  }
  return Buffer.concat(chunks)
}
