/** Puts artifacts beside the images that they refer to, and into the list by which they are found. */
import type { Digest } from '../../digest.ts'
import type { AttachedArtifact } from '../../formats/format.ts'
import { type Descriptor, describeBlob } from '../../formats/oci/descriptor.ts'
import { parseArtifact, writeIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { type Artifact, referrersTag } from '../../sources/source.ts'
import type { NamedManifest, Target } from '../../sources/targets/target.ts'

/** A function that reads what refers to an image where it goes; undefined where nothing does. */
export type ReadReferrers = (image: Digest) => Promise<Artifact | undefined>

export interface Attached {
  readonly descriptor: Descriptor
  /** List that is to get its name, where the place keeps none by itself. */
  readonly list: NamedManifest | undefined
}

/** Puts an artifact beside its image. */
export async function attachArtifact(
  target: Target,
  image: Digest,
  artifact: AttachedArtifact,
  readReferrers: ReadReferrers,
): Promise<Attached> {
  for (const { descriptor, bytes } of artifact.blobs) await target.putBlob(descriptor, bytes)
  const descriptor = describeBlob(mediaTypes.manifest, artifact.manifest)
  await target.putManifest(descriptor, artifact.manifest)
  const list = withArtifact(await readReferrers(image), descriptor, artifact)
  if (list === undefined) return { descriptor, list }
  const index = describeBlob(mediaTypes.index, list)
  await target.putManifest(index, list)
  return { descriptor, list: { descriptor: index, name: referrersTag(image) } }
}

/** Writes the list with an artifact in it; undefined where a registry with the referrers API has taken note by itself. */
function withArtifact(
  known: Artifact | undefined,
  descriptor: Descriptor,
  { listed }: AttachedArtifact,
): Uint8Array | undefined {
  const document = known && parseArtifact(known.bytes, known.descriptor)
  const before = document?.kind === 'index' ? document.manifests : []
  if (before.some(({ digest }) => digest === descriptor.digest)) return undefined
  // One of its kind for an image: readers take the first.
  const others = before.filter(({ artifactType }) => artifactType !== listed.artifactType)
  return writeIndex({ manifests: [{ ...descriptor, ...listed }, ...others] })
}
