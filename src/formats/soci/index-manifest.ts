/**
 * The manifest that ties zTOCs to the layers of an image. Version 1 points at the image as its subject and is found as
 * a referrer, which anybody may add; version 2 is named by an annotation of the image's own manifest.
 *
 *     config        application/vnd.amazon.soci.index.v1+json (or v2), content `{}`
 *     layers[]      application/octet-stream, annotated with digest and media type of the layer, and the span size
 *     subject       v1 only: the image's manifest
 *
 * Source: soci-snapshotter's soci_index.go and docs/index.md.
 */
import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Descriptor, describeBlob } from '../oci/descriptor.ts'
import { mediaTypes } from '../oci/media-types.ts'

export const sociIndexV1 = 'application/vnd.amazon.soci.index.v1+json'
export const sociIndexV2 = 'application/vnd.amazon.soci.index.v2+json'
/** Annotation on an image's manifest: the digest of its index, version 2. */
export const indexDigestAnnotation = 'com.amazon.soci.index-digest'
/** Annotation on an index's entry in an image index: the manifest it belongs to. */
export const imageDigestAnnotation = 'com.amazon.soci.image-manifest-digest'
const layerDigest = 'com.amazon.soci.image-layer-digest'
const layerMediaType = 'com.amazon.soci.image-layer-mediaType'
const spanSizeAnnotation = 'com.amazon.soci.span-size'
export const buildToolAnnotation = 'com.amazon.soci.build-tool-identifier'
export const ztocMediaType = 'application/octet-stream'

/** Config of every SOCI index. */
export const emptyConfig = Buffer.from('{}')

/**
 * Returns the zTOC of each layer that has one, by the layer's digest.
 * @param blobs the layers of the index's manifest
 */
export function ztocsOf(blobs: readonly Descriptor[]): Map<Digest, Descriptor> {
  const ztocs = new Map<Digest, Descriptor>()
  for (const blob of blobs) {
    // Prefetch lists lie here too.
    if (blob.mediaType !== ztocMediaType) continue
    const of = blob.annotations?.[layerDigest]
    if (of === undefined || !isDigest(of)) throw badIndex('a zTOC does not say which layer it is of')
    if (ztocs.has(of)) throw badIndex(`two zTOCs are of layer ${of}`)
    ztocs.set(of, blob)
  }
  return ztocs
}

/** A layer and its zTOC, as the manifest of the index names them. */
export interface ListedZtoc {
  readonly layer: Descriptor
  readonly ztoc: { readonly digest: Digest; readonly size: number }
  readonly spanSize: number
}

/** Writes the index's manifest as the reference does: same keys, same order, no white space. */
export function writeSociIndex(
  layers: readonly ListedZtoc[],
  options: { readonly buildTool: string; readonly subject?: Descriptor },
): Uint8Array {
  const { buildTool, subject } = options
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: describeBlob(subject === undefined ? sociIndexV2 : sociIndexV1, emptyConfig),
    layers: layers.map(({ layer, ztoc, spanSize }) => ({
      mediaType: ztocMediaType,
      digest: ztoc.digest,
      size: ztoc.size,
      annotations: {
        [layerDigest]: layer.digest,
        [layerMediaType]: layer.mediaType,
        [spanSizeAnnotation]: String(spanSize),
      },
    })),
    ...(subject === undefined
      ? {}
      : { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    annotations: { [buildToolAnnotation]: buildTool },
  }
  return Buffer.from(JSON.stringify(manifest))
}

function badIndex(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot use a SOCI index: ${found}`)
}
