import type { AbortOptions } from '../../abort.ts'
import { type Digest, checkDigest, digestOf } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { bareMediaType, documentKind, mediaTypes } from '../../formats/oci/media-types.ts'
import { type Artifact, type BlobOptions, type Related, type Source, documentMax, referrersTag } from '../source.ts'
import { readBlob } from './blob.ts'
import { RefusedError, RegistryClient, type RegistryOptions } from './client.ts'
import { decodeDocument, documentTypes, shownMediaType } from './document.ts'
import { type Reference, formatReference, parseReference } from './reference.ts'

export interface RegistrySourceOptions extends RegistryOptions {
  /** Name as the user wrote it; default the reference in full. */
  readonly name?: string | undefined
}

/** Makes a source of an image in a registry. No connection is made before something is asked for. */
export function registrySource(reference: Reference | string, options: RegistrySourceOptions = {}): Source {
  const place = typeof reference === 'string' ? parseReference(reference) : reference
  const client = new RegistryClient(place, options)
  return {
    name: options.name ?? formatReference(place),
    kind: 'layer',
    resolve: (abort) => resolve(client, place, abort),
    related: (what, abort) => related(client, place, what, abort),
    fetch: (descriptor, abort) => fetchDocument(client, place, descriptor, abort),
    blob: (descriptor, blobOptions?: BlobOptions) =>
      readBlob(client, `blob ${descriptor.digest} of ${place.host}/${place.repository}`, descriptor, blobOptions),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  }
}

/**
 * Reads the manifest. With a digest the bytes are checked against it; a tag has only our own hash, whatever
 * Docker-Content-Digest says.
 */
async function resolve(client: RegistryClient, reference: Reference, options: AbortOptions = {}): Promise<Artifact> {
  const { digest, tag = '' } = reference
  const subject = formatReference(reference)
  const { bytes: served, response } = await client.document(
    {
      path: `manifests/${digest ?? tag}`,
      headers: { accept: documentTypes },
      action: `read the manifest of ${subject}`,
      signal: options.signal,
    },
    documentMax,
  )
  const bytes = decodeDocument(served, response.headers['content-encoding'], digest, `the manifest of ${subject}`)
  if (digest !== undefined) checkDigest(bytes, digest, `the manifest of ${subject}`)
  const mediaType = shownMediaType(bytes) ?? bareMediaType(response.headers['content-type'] ?? '')
  return { descriptor: { mediaType, digest: digest ?? digestOf(bytes), size: bytes.length }, bytes }
}

async function related(
  client: RegistryClient,
  place: Reference,
  what: Related,
  options: AbortOptions = {},
): Promise<Artifact | undefined> {
  const read = ({ tag, digest }: Partial<Reference>): Promise<Artifact | undefined> =>
    unlessMissing(resolve(client, { host: place.host, repository: place.repository, tag, digest }, options))
  if ('digest' in what) return read({ digest: what.digest })
  if ('referrersOf' in what)
    return (
      (await readReferrers(client, place, what.referrersOf, options)) ?? read({ tag: referrersTag(what.referrersOf) })
    )
  return place.tag === undefined ? undefined : read({ tag: place.tag + what.tagSuffix })
}

/** Reads the referrers API; undefined where there is none, as registries from before it answer in every way. */
async function readReferrers(
  client: RegistryClient,
  place: Reference,
  digest: Digest,
  options: AbortOptions,
): Promise<Artifact | undefined> {
  try {
    const { bytes } = await client.document(
      {
        path: `referrers/${digest}`,
        headers: { accept: mediaTypes.index },
        action: `read the referrers of ${digest} in ${place.host}/${place.repository}`,
        signal: options.signal,
      },
      documentMax,
    )
    if (shownMediaType(bytes) !== mediaTypes.index) return undefined
    return { descriptor: describeBlob(mediaTypes.index, bytes), bytes }
  } catch (error) {
    if (error instanceof RefusedError || hasCode(error, 'DENIED')) return undefined
    throw error
  }
}

async function unlessMissing<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined
    throw error
  }
}

async function fetchDocument(
  client: RegistryClient,
  reference: Reference,
  descriptor: Descriptor,
  options: AbortOptions = {},
): Promise<Uint8Array> {
  const { digest, size, mediaType } = descriptor
  const manifest = documentKind(mediaType) !== undefined
  const subject = `${manifest ? 'manifest' : 'blob'} ${digest} of ${reference.host}/${reference.repository}`
  if (size > documentMax)
    throw new OnefoldError('LIMIT', `Cannot read ${subject}: expected at most ${documentMax} bytes, found ${size}`)
  const { bytes: served, response } = await client.document(
    {
      path: `${manifest ? 'manifests' : 'blobs'}/${digest}`,
      headers: manifest ? { accept: documentTypes } : {},
      action: `read ${subject}`,
      signal: options.signal,
    },
    documentMax,
  )
  const bytes = decodeDocument(served, response.headers['content-encoding'], digest, subject)
  if (bytes.length !== size)
    throw new OnefoldError('DIGEST_MISMATCH', `Cannot accept ${subject}: expected ${size} bytes, found ${bytes.length}`)
  checkDigest(bytes, digest, subject)
  return bytes
}
