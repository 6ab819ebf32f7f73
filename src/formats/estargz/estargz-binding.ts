import type { Binding } from '../binding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestIfValid, hasAnnotation, isZstd, stargzTocDigest } from '../toc-json/toc-annotations.ts'

/** The binding of eStargz; a zstd layer with the same table is of another format. */
export function estargzBinding(layer: Descriptor): Binding | undefined {
  if (!hasAnnotation(layer, stargzTocDigest) || isZstd(layer.mediaType)) return undefined
  return { digest: digestIfValid(layer, stargzTocDigest) }
}
