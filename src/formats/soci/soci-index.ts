import { type Digest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Claim, DescribedImage, IndexReader } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Manifest, parseArtifact } from '../oci/manifest.ts'
import { type Artifact, type Reading, readBlob, readRelated } from '../reading.ts'
import { defaultTocLimits } from '../toc-json/toc-json.ts'
import { indexDigestAnnotation, sociIndexV1, sociIndexV2, ztocsOf } from './index-manifest.ts'
import { readSociLayer } from './read-soci.ts'

/** Finds the zTOCs of an image: by the index that its manifest names, or by one that somebody has attached to it. */
export const sociIndex: IndexReader = {
  *claims(image, layers, { unbound }) {
    const named = image.manifest.annotations[indexDigestAnnotation]
    if (named !== undefined) return claimsOn(layers, yield* boundIndex(named), 'image')
    return unbound ? claimsOn(layers, yield* attachedIndex(image), 'nothing') : []
  },
}

function claimsOn(
  layers: readonly Descriptor[],
  ztocs: ReadonlyMap<Digest, Descriptor>,
  boundBy: 'image' | 'nothing',
): Claim[] {
  return layers.flatMap((layer) => {
    const ztoc = ztocs.get(layer.digest)
    return ztoc === undefined ? [] : [claimOn(layer, ztoc, boundBy)]
  })
}

function claimOn(layer: Descriptor, ztoc: Descriptor, boundBy: 'image' | 'nothing'): Claim {
  const bound = boundBy === 'image'
  return {
    layer,
    boundBy,
    digest: bound ? ztoc.digest : undefined,
    *open(given) {
      const limits = { ...defaultTocLimits, ...given }
      return readSociLayer(yield* readBlob(ztoc, limits.maxTocBytes, 'a zTOC'), layer, { bound }, limits)
    },
  }
}

function* boundIndex(digest: string): Reading<ReadonlyMap<Digest, Descriptor>> {
  if (!isDigest(digest)) throw badIndex(`${indexDigestAnnotation} is no digest`)
  const index = yield* readRelated({ digest })
  if (index === undefined)
    throw new OnefoldError('NOT_FOUND', `Cannot find the SOCI index ${digest}, which the manifest of the image names`)
  const manifest = readIndex(index)
  if (manifest.config.mediaType !== sociIndexV2) throw badIndex(`${digest} is none of version 2`)
  return ztocsOf(manifest.layers)
}

/** Finds the first attached index of version 1, as the reference takes it. */
function* attachedIndex(image: DescribedImage): Reading<ReadonlyMap<Digest, Descriptor>> {
  const referrers = yield* readRelated({ referrersOf: image.digest })
  const listed = referrers && parseArtifact(referrers.bytes, { mediaType: referrers.descriptor.mediaType })
  const descriptor =
    listed?.kind === 'index' ? listed.manifests.find(({ artifactType }) => artifactType === sociIndexV1) : undefined
  if (descriptor === undefined) return new Map()
  const index = yield* readRelated({ digest: descriptor.digest })
  if (index === undefined)
    throw new OnefoldError(
      'NOT_FOUND',
      `Cannot find the SOCI index ${descriptor.digest}, which is attached to the image`,
    )
  const manifest = readIndex(index)
  if (manifest.subject?.digest !== image.digest) throw badIndex(`${descriptor.digest} is attached to another image`)
  return ztocsOf(manifest.layers)
}

function readIndex({ bytes, descriptor: { mediaType, digest } }: Artifact): Manifest {
  const document = parseArtifact(bytes, { mediaType, digest })
  if (document.kind !== 'manifest') throw badIndex(`${digest} is an image index`)
  return document
}

function badIndex(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot use a SOCI index: ${found}`)
}
