import type { Source } from '../../sources/source.ts'
import { openContents } from '../../store/index/held-contents.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import type { ImportLimits, LayerResult } from '../import/layer-job.ts'
import type { WantedLayer } from '../pull/import-layers.ts'
import type { OnProgress } from '../progress.ts'
import { type PlannedLayer, fetchParts } from './fetch-parts.ts'
import type { LayerOutlook, PartialPolicy } from './layer-outlook.ts'
import { lookAtLayers } from './look-at-layers.ts'
import type { IndexedImage } from './find-ztocs.ts'

export interface PartsOptions {
  readonly transaction: Transaction
  /** Whose layers they are. */
  readonly image: IndexedImage
  readonly policy: PartialPolicy
  readonly limits: ImportLimits
  readonly signal: AbortSignal | undefined
  readonly onProgress: OnProgress | undefined
  /** Hears of every layer that came by parts, as soon as it is staged; the others are to be pulled whole. */
  readonly onLayer: (layer: LayerOutlook, result: LayerResult) => void
}

/** Brings those of the layers in by parts for which that is better. */
export async function pullParts(source: Source, layers: readonly WantedLayer[], options: PartsOptions): Promise<void> {
  const { transaction, image, policy, limits, signal, onProgress } = options
  using staging = transaction.staging('look')
  const hold = staging.hold.bind(staging)
  const outlooks = await lookAtLayers(source, layers, {
    storeRoot: transaction.root,
    image,
    policy,
    limits,
    hold,
    signal,
    onProgress,
  })
  const planned = outlooks.filter(isPlanned)
  if (planned.length === 0) return
  const assembled = await fetchParts(planned, {
    ...options,
    source,
    onFailed: (layer) => forgetRows(transaction.root, layer),
  })
  // What was hashed on the way need not be hashed again for the next table.
  using contents = await openContents(transaction.root)
  contents.learn(
    [...assembled].flatMap(([sha256, content]) =>
      content.kind === 'object' ? [[sha256, content.digest, content.size] as const] : [],
    ),
  )
}

function isPlanned(outlook: LayerOutlook): outlook is PlannedLayer {
  return outlook.how === 'parts' && outlook.plan !== undefined
}

/** Whatever was wrong, what the index said of this layer is not to be said again. */
async function forgetRows(root: string, { plan }: PlannedLayer): Promise<void> {
  using contents = await openContents(root)
  const objects = plan.files.flatMap((file) => {
    if (file?.kind === 'held') return file.file.kind === 'object' ? [file.file.object] : []
    return file?.kind === 'assemble' ? file.pieces.flatMap((p) => (p.from === 'object' ? [p.place.object] : [])) : []
  })
  contents.forget(new Set(objects))
}
