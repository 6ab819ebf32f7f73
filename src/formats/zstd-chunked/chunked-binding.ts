import type { Binding } from '../binding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestIfValid, hasAnnotation } from '../toc-json/toc-annotations.ts'
import { chunkedChecksum } from './chunked-annotations.ts'

export function chunkedBinding(layer: Descriptor): Binding | undefined {
  return hasAnnotation(layer, chunkedChecksum) ? { digest: digestIfValid(layer, chunkedChecksum) } : undefined
}
