import type { Binding } from '../binding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestIfValid, hasAnnotation, isZstd, stargzTocDigest } from '../toc-json/toc-annotations.ts'

/** What zstd makes of the same table is another format. */
export function estargzBinding(layer: Descriptor): Binding | undefined {
  if (!hasAnnotation(layer, stargzTocDigest) || isZstd(layer.mediaType)) return undefined
  return { digest: digestIfValid(layer, stargzTocDigest) }
}
