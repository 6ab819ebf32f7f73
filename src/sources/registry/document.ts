import { constants, gunzipSync } from 'node:zlib'
import { type Digest, algorithmOf, digestOf } from '../../digest.ts'
import { OnefoldError, errnoOf } from '../../error.ts'
import { detectMediaType } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { documentMax } from '../source.ts'

/** Accept header for manifests and indexes. */
export const documentTypes = [
  mediaTypes.index,
  mediaTypes.manifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(', ')

/**
 * Returns the media type that a document itself shows; undefined for what is no manifest and no index. Registries and
 * the proxies before them send all sorts of Content-Type, the bytes are what was hashed.
 */
export function shownMediaType(bytes: Uint8Array): string | undefined {
  try {
    return detectMediaType(bytes)
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}

/**
 * Returns the decoded bytes of a document. Documents are asked for as they are, and some servers compress them all the
 * same. The bytes as served win when they have the digest that was asked for (a blob that is gzip, labelled so); JSON
 * never begins with gzip's magic.
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
