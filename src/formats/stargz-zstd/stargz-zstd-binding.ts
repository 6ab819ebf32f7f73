import type { Binding } from '../binding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestIfValid, hasAnnotation, isZstd, stargzTocDigest } from '../toc-json/toc-annotations.ts'
import { stargzZstdChecksum } from './stargz-zstd-annotations.ts'

/** With the digest of the table's JSON alone, the media type tells the layer from one of eStargz. */
export function stargzZstdBinding(layer: Descriptor): Binding | undefined {
  const isBound =
    hasAnnotation(layer, stargzZstdChecksum) || (hasAnnotation(layer, stargzTocDigest) && isZstd(layer.mediaType))
  if (!isBound) return undefined
  return { digest: digestIfValid(layer, stargzTocDigest) ?? digestIfValid(layer, stargzZstdChecksum) }
}
