import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Digest, algorithmOf, hexOf, isDigest } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseIndex } from '../../formats/oci/manifest.ts'
import { documentMax } from '../source.ts'
import { shownMediaType } from './document.ts'

/**
 * Read side of the distribution API over one OCI layout directory:
 *
 *     GET /v2/                              200
 *     GET /v2/NAME/manifests/TAG|DIGEST     from index.json and blobs/
 *     GET /v2/NAME/blobs/DIGEST             from blobs/, with single ranges
 *     GET /v2/NAME/tags/list
 *
 * A layout knows tags and no repositories, so every NAME has all of its tags. HEAD works wherever GET does.
 */
export interface ServeOptions {
  /** Address to listen on; default 127.0.0.1. Nobody is asked for a password: keep it on loopback. */
  readonly address?: string | undefined
  /** Port to listen on; default any free one. */
  readonly port?: number | undefined
}

export interface LayoutServer extends AsyncDisposable {
  /** Address as it stands at the beginning of a reference: `127.0.0.1:PORT`. */
  readonly host: string
  readonly url: string
  /** Totals of what was asked and sent so far; bytes are those of bodies. */
  readonly served: { requests: number; bytes: number }
  close(): Promise<void>
}

interface Stored {
  readonly path: string
  readonly digest: Digest
  readonly size: number
  readonly contentType: string
}

const refName = 'org.opencontainers.image.ref.name'
const route = /^\/v2\/(.+)\/(manifests|blobs|tags)\/([^/]+)$/

/**
 * Serves an OCI layout read-only over HTTP until closed. The folder may change meanwhile; it is read at each request.
 */
export async function serveLayout(folder: string, options: ServeOptions = {}): Promise<LayoutServer> {
  const { createServer } = await import('node:http')
  await readIndex(folder)
  const served = { requests: 0, bytes: 0 }
  const server = createServer((request, response) => {
    served.requests += 1
    answer(folder, request, response, served).catch(() => response.destroy())
  })
  await listen(server, options.port ?? 0, options.address ?? '127.0.0.1')
  const { address, port, family } = server.address() as AddressInfo
  const host = `${family === 'IPv6' ? `[${address}]` : address}:${port}`
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { host, url: `http://${host}`, served, close, [Symbol.asyncDispose]: close }
}

async function answer(
  folder: string,
  request: IncomingMessage,
  response: ServerResponse,
  served: { bytes: number },
): Promise<void> {
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(response, 405, 'UNSUPPORTED', 'read only')
  const path = URL.parse(request.url ?? '', 'http://localhost')?.pathname ?? ''
  if (path === '/v2/' || path === '/v2') return sendJson(response, {})
  const [, , kind, key = ''] = route.exec(path) ?? []
  if (kind === 'tags' && key === 'list') return sendJson(response, { name: nameOf(path), tags: await tagsOf(folder) })
  const stored = kind === 'manifests' ? await findManifest(folder, key) : await findBlob(folder, key)
  if (stored !== undefined && kind !== 'tags') return send(request, response, stored, served)
  const code = kind === 'manifests' ? 'MANIFEST_UNKNOWN' : kind === 'blobs' ? 'BLOB_UNKNOWN' : 'NAME_UNKNOWN'
  return refuse(response, 404, code, 'not in this layout')
}

async function findManifest(folder: string, reference: string): Promise<Stored | undefined> {
  if (!isDigest(reference)) {
    const tagged = (await readIndex(folder)).find((entry) => tagOf(entry) === reference)
    return tagged === undefined ? undefined : findManifest(folder, tagged.digest)
  }
  const blob = await findBlob(folder, reference)
  if (blob === undefined || blob.size > documentMax) return undefined
  const contentType = shownMediaType(await readFile(blob.path))
  return contentType === undefined ? undefined : { ...blob, contentType }
}

/** Finds a blob; the digest's syntax leaves no room for a path that leads elsewhere. */
async function findBlob(folder: string, digest: string): Promise<Stored | undefined> {
  if (!isDigest(digest)) return undefined
  const path = join(folder, 'blobs', algorithmOf(digest), hexOf(digest))
  const found = await stat(path).catch(() => undefined)
  if (found?.isFile() !== true) return undefined
  return { path, digest, size: found.size, contentType: 'application/octet-stream' }
}

async function readIndex(folder: string): Promise<readonly Descriptor[]> {
  const path = join(folder, 'index.json')
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new OnefoldError('NOT_FOUND', `Cannot serve ${JSON.stringify(folder)}: no index.json (${errnoOf(cause)})`, {
      cause,
      hint: 'Expected an OCI layout directory.',
    })
  })
  return parseIndex(bytes, JSON.stringify(path)).manifests
}

/** Returns the tag of an entry: a ref name is a tag, or a whole reference as some tools write it. */
function tagOf({ annotations }: Descriptor): string | undefined {
  const name = annotations?.[refName]
  return name?.slice(name.lastIndexOf(':') + 1)
}

async function tagsOf(folder: string): Promise<string[]> {
  const tags = (await readIndex(folder)).flatMap((entry) => tagOf(entry) ?? [])
  return [...new Set(tags)].sort((a, b) => (a < b ? -1 : 1))
}

function nameOf(path: string): string {
  return route.exec(path)?.[1] ?? ''
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  stored: Stored,
  served: { bytes: number },
): Promise<void> {
  response.setHeader('content-type', stored.contentType)
  response.setHeader('docker-content-digest', stored.digest)
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('etag', `"${stored.digest}"`)
  const range = parseRange(request.headers.range, stored.size)
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${stored.size}`, 'content-length': 0 }).end()
    return Promise.resolve()
  }
  const { first, last } = range ?? { first: 0, last: stored.size - 1 }
  if (range !== undefined) response.setHeader('content-range', `bytes ${first}-${last}/${stored.size}`)
  response.writeHead(range === undefined ? 200 : 206, { 'content-length': last - first + 1 })
  if (request.method === 'HEAD' || last < first) {
    response.end()
    return Promise.resolve()
  }
  served.bytes += last - first + 1
  return sendFile(response, stored.path, first, last)
}

/** Sends a part of a file. The client may leave at any time, which ends the reading and is no failure of ours. */
function sendFile(response: ServerResponse, path: string, start: number, end: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const file = createReadStream(path, { start, end, highWaterMark: 1024 * 1024 })
    response.on('close', () => {
      file.destroy()
      resolve()
    })
    file.on('error', reject)
    file.pipe(response)
  })
}

/** Parses one range of bytes (RFC 9110, 14.1.2). Several, or another unit, may be ignored, which sends everything. */
function parseRange(
  header: string | undefined,
  size: number,
): { first: number; last: number } | 'unsatisfiable' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  const first = from === '' ? Math.max(0, size - Number(to)) : Number(from)
  const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1)
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  return first > last || first >= size ? 'unsatisfiable' : { first, last }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(value))
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.statusCode = status
  sendJson(response, { errors: [{ code, message }] })
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error): void =>
      reject(new OnefoldError('IO', `Cannot listen on ${address}:${port}: ${errnoOf(cause)}`, { cause }))
    server.once('error', failed)
    server.listen(port, address, () => {
      server.off('error', failed)
      resolve()
    })
  })
}
