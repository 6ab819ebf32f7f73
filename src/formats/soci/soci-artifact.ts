import type { IndexedLayer, NewBlob } from '../format.ts'
import { type Descriptor, describeBlob } from '../oci/descriptor.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { buildTool } from './build-ztoc.ts'
import { emptyConfig, writeSociIndex, ztocMediaType } from './index-manifest.ts'
import { sociOptions } from './soci-options.ts'

/**
 * The index of an image whose layers have zTOCs: its manifest, and the blobs that this names.
 * @param subject the image that the index is attached to; without one it is named by the image
 */
export function sociArtifact(
  layers: readonly IndexedLayer[],
  { spanSize = sociOptions.spanSize.default }: { readonly spanSize?: number | undefined },
  subject?: Descriptor,
): { readonly blobs: readonly NewBlob[]; readonly manifest: Uint8Array } {
  const ztocs = layers.map(({ index }) => ({ descriptor: describeBlob(ztocMediaType, index), bytes: index }))
  const config = { descriptor: describeBlob(mediaTypes.config, emptyConfig), bytes: emptyConfig }
  const listed = layers.map(({ blob }, i) => ({ layer: blob, ztoc: ztocs[i]!.descriptor, spanSize }))
  return {
    blobs: [...ztocs, config],
    manifest: writeSociIndex(listed, { buildTool, ...(subject && { subject }) }),
  }
}
