import { constants, gunzipSync } from 'node:zlib'
import { type Digest, algorithmOf, digestOf } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { documentMax } from '../source.ts'

const ociIndex = 'application/vnd.oci.image.index.v1+json'
const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
const dockerList = 'application/vnd.docker.distribution.manifest.list.v2+json'
const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json'
const dockerSchema1 = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

const manifestTypes: readonly string[] = [ociIndex, ociManifest, dockerList, dockerManifest]

/** The Accept header for manifests and indexes. */
export const documentTypes = manifestTypes.join(', ')

/** Documents of these types live under `manifests/`, all others are blobs. */
export function isManifestType(mediaType: string): boolean {
  return manifestTypes.includes(mediaType)
}

/**
 * The media type that a manifest itself claims, or that its shape gives away; undefined when it is neither. Registries
 * and the proxies before them send all sorts of Content-Type, the bytes are what was hashed.
 */
export function manifestTypeOf(bytes: Uint8Array): string | undefined {
  let value: Record<string, unknown> | null
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')) as typeof value
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  if (typeof value['mediaType'] === 'string' && value['mediaType'] !== '') return value['mediaType']
  if (value['schemaVersion'] === 1) return dockerSchema1
  if (Array.isArray(value['manifests'])) return ociIndex
  return Array.isArray(value['layers']) || value['config'] !== undefined ? ociManifest : undefined
}

/**
 * Documents are asked for as they are, and some servers compress them all the same. The bytes as served win when they
 * have the digest that was asked for (a blob that is gzip, labelled so); JSON never begins with gzip's magic.
 */
export function decodeDocument(
  bytes: Buffer,
  encoding: string | undefined,
  digest: Digest | undefined,
  subject: string,
): Buffer {
  const coding = encoding?.trim().toLowerCase() ?? 'identity'
  if (coding === 'identity' || coding === '') return bytes
  if (digest !== undefined && digestOf(bytes, algorithmOf(digest)) === digest) return bytes
  if ((coding !== 'gzip' && coding !== 'x-gzip') || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  try {
    return gunzipSync(bytes, { maxOutputLength: documentMax, finishFlush: constants.Z_FINISH })
  } catch (cause) {
    const large = errnoOf(cause) === 'ERR_BUFFER_TOO_LARGE'
    const found = large ? `it unpacks to more than ${documentMax} bytes` : 'its Content-Encoding gzip cannot be undone'
    throw new OnefoldError(large ? 'LIMIT' : 'NETWORK', `Cannot read ${subject}: ${found}`, { cause })
  }
}
