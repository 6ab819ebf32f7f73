import type { Binding } from '../binding.ts'
import type { Claim, IndexReader } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { readBlob } from '../reading.ts'
import { defaultTocLimits } from '../toc-json/toc-json.ts'
import { readTarIndex } from './read-tar-index.ts'
import { boundIndexOf, erofsTarBinding } from './tar-index-annotations.ts'

/** Finds the indexes that layers bind by annotations. */
export const tarIndexReader: IndexReader = {
  *claims(_, layers) {
    return layers.flatMap((layer) => {
      const binding = erofsTarBinding(layer)
      return binding === undefined ? [] : [claimOn(layer, binding)]
    })
  },
}

function claimOn(layer: Descriptor, { digest }: Binding): Claim {
  return {
    layer,
    boundBy: 'layer',
    digest,
    *open(given) {
      const limits = { ...defaultTocLimits, ...given }
      const { blob, implied } = boundIndexOf(layer)
      const bytes = yield* readBlob(blob, limits.maxTocBytes, 'an EROFS index')
      return readTarIndex(bytes, { tar: { blob: layer, start: 0 }, implied }, limits)
    },
  }
}
