/** Finding the zTOCs of an image: by the index that its manifest names, or one that somebody has attached to it. */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/entry.ts'
import { type Manifest, parseArtifact } from '../../formats/oci/manifest.ts'
import { indexDigestAnnotation, sociIndexV1, sociIndexV2, ztocsOf } from '../../formats/soci/index-manifest.ts'
import type { Artifact, Source } from '../../sources/source.ts'

export interface IndexedImage {
  readonly digest: Digest
  readonly manifest: Manifest
}

export interface ZtocPlace {
  readonly blob: Descriptor
  /** Whether the image's own manifest names the index. What is merely attached, anybody may have attached. */
  readonly bound: boolean
}

const none: ReadonlyMap<Digest, ZtocPlace> = new Map()

/** By the digest of the layer; empty when the image has no index. Throws BAD_FORMAT for one that is none. */
export async function findZtocs(
  source: Source,
  image: IndexedImage,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<Digest, ZtocPlace>> {
  const named = image.manifest.annotations[indexDigestAnnotation]
  if (named !== undefined) return await boundIndex(source, named, signal)
  const referrers = await source.related?.({ referrersOf: image.digest }, { signal })
  return referrers === undefined ? none : await attachedIndex(source, image, referrers, signal)
}

async function boundIndex(
  source: Source,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<Digest, ZtocPlace>> {
  if (!isDigest(digest)) throw badIndex(`${indexDigestAnnotation} is no digest`)
  const index = await source.related?.({ digest }, { signal })
  if (index === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot find the SOCI index ${digest}, which the manifest of the image names`)
  const manifest = readIndex(index.bytes, index.descriptor)
  if (manifest.config.mediaType !== sociIndexV2) throw badIndex(`${digest} is none of version 2`)
  return places(manifest, true)
}

/** The first of version 1, as the reference takes it. */
async function attachedIndex(
  source: Source,
  image: IndexedImage,
  referrers: Artifact,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<Digest, ZtocPlace>> {
  const listed = parseArtifact(referrers.bytes, { mediaType: referrers.descriptor.mediaType })
  if (listed.kind !== 'index') return none
  const descriptor = listed.manifests.find(({ artifactType }) => artifactType === sociIndexV1)
  if (descriptor === undefined) return none
  const manifest = readIndex(await source.fetch(descriptor, { signal }), descriptor)
  if (manifest.subject?.digest !== image.digest) throw badIndex(`${descriptor.digest} is attached to another image`)
  return places(manifest, false)
}

function readIndex(bytes: Uint8Array, { mediaType, digest }: Descriptor): Manifest {
  const document = parseArtifact(bytes, { mediaType, digest })
  if (document.kind !== 'manifest') throw badIndex(`${digest} is an image index`)
  return document
}

function places({ layers }: Manifest, bound: boolean): ReadonlyMap<Digest, ZtocPlace> {
  return new Map([...ztocsOf(layers)].map(([layer, blob]) => [layer, { blob, bound }]))
}

function badIndex(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot use a SOCI index: ${found}`)
}
