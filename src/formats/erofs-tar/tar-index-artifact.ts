/**
 * Writes the manifest that ties the indexes of an image's layers to it. No reader needs it; it is what keeps registries from
 * deleting blobs that no other manifest names.
 *
 *     artifactType  application/vnd.onefold.erofs-tar.v1
 *     config        the empty one of OCI
 *     layers[]      the indexes, each annotated with the digest of the layer that it is of
 *     subject       the image's manifest
 */
import { digestOf } from '../../digest.ts'
import type { AttachedArtifact, IndexedLayer } from '../format.ts'
import { type Descriptor, describeBlob, descriptorValue } from '../oci/descriptor.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { indexMediaType } from './tar-index-annotations.ts'

export const artifactType = 'application/vnd.onefold.erofs-tar.v1'
/** Annotation of an index with the digest of its layer. */
export const layerDigest = 'org.onefold.erofs-tar.layer'

const emptyConfig = Buffer.from('{}')
const emptyDescriptor = {
  mediaType: 'application/vnd.oci.empty.v1+json',
  digest: digestOf(emptyConfig),
  size: emptyConfig.length,
}

/** Makes the artifact of an image, given the descriptor of its manifest. */
export function tarIndexArtifact(image: Descriptor, layers: readonly IndexedLayer[]): AttachedArtifact {
  const indexes = layers.map(({ blob, index }) => ({
    descriptor: { ...describeBlob(indexMediaType, index), annotations: { [layerDigest]: blob.digest } },
    bytes: index,
  }))
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    artifactType,
    config: emptyDescriptor,
    layers: indexes.map(({ descriptor }) => descriptorValue(descriptor)),
    subject: { mediaType: image.mediaType, digest: image.digest, size: image.size },
  }
  return {
    blobs: [...indexes, { descriptor: emptyDescriptor, bytes: emptyConfig }],
    manifest: Buffer.from(JSON.stringify(manifest)),
    listed: { artifactType, annotations: {} },
  }
}
