import type { Binding } from '../binding.ts'
import type { ContentIndex } from '../content-index.ts'
import type { Claim, IndexLimits, IndexReader } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { Reading } from '../reading.ts'
import { defaultTocLimits } from './toc-json.ts'

/** A format whose layers bring a table of contents of their own, and how its table is found and read. */
export interface TableFormat {
  binding(layer: Descriptor): Binding | undefined
  /** Tells whether a layer that no manifest says anything of may have a table of the format. */
  mayHaveTable(layer: Descriptor): boolean
  /** @param isBound whether the manifest says that there is a table: then there has to be one */
  open(layer: Descriptor, isBound: boolean, limits: Required<IndexLimits>): Reading<ContentIndex | undefined>
}

/** Makes the reader of such a format: one claim for each layer that has a table, or may have one. */
export function tableReader(format: TableFormat): IndexReader {
  return {
    *claims(_, layers, { unbound }) {
      return layers.flatMap((layer) => {
        const binding = format.binding(layer)
        const isCandidate = binding !== undefined || (unbound && format.mayHaveTable(layer))
        return isCandidate ? [claimOn(format, layer, binding)] : []
      })
    },
  }
}

function claimOn(format: TableFormat, layer: Descriptor, binding: Binding | undefined): Claim {
  return {
    layer,
    boundBy: binding === undefined ? 'nothing' : 'layer',
    digest: binding?.digest,
    open: (limits) => format.open(layer, binding !== undefined, { ...defaultTocLimits, ...limits }),
  }
}
