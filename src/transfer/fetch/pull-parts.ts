import type { Source } from '../../sources/source.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { isDigest } from '../../digest.ts'
import type { ImportLimits, LayerResult } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import { type PartialOutlook, fetchParts } from './fetch-parts.ts'
import type { LayerOutlook } from './layer-outlook.ts'
import type { FilePlan } from './plan-layers.ts'

export interface PartsOptions {
  readonly store: Store
  readonly transaction: Transaction
  readonly limits: ImportLimits
  readonly signal: AbortSignal | undefined
  readonly onProgress: OnProgress | undefined
  /** Called for every layer that came by parts, as soon as it is staged; the others are to be pulled whole. */
  readonly onLayer: (layer: LayerOutlook, result: LayerResult) => void
}

/** Brings in the layers that are planned by parts. */
export async function pullParts(
  source: Source,
  outlooks: readonly LayerOutlook[],
  options: PartsOptions,
): Promise<void> {
  const { store } = options
  const planned = outlooks.filter(isPlanned)
  const assembled = await fetchParts(planned, {
    ...options,
    source,
    onFailed: (layer) => forgetRows(store, layer),
  })
  // What was hashed on the way need not be hashed again for the next index.
  using contents = await store.contents()
  contents.learn(
    [...assembled].flatMap(([identity, content]) =>
      isDigest(identity) && content.kind === 'object' ? [[identity, content.digest, content.size] as const] : [],
    ),
  )
}

function isPlanned(outlook: LayerOutlook): outlook is PartialOutlook {
  return outlook.how === 'parts' && outlook.plan !== undefined
}

/** Forgets what the store's index said for this layer: whatever was wrong must not be relied on again. */
async function forgetRows(store: Store, { plan }: PartialOutlook): Promise<void> {
  using contents = await store.contents()
  contents.forget(new Set(plan.files.flatMap((file) => (file === undefined ? [] : objectsOf(file)))))
}

function objectsOf(file: FilePlan) {
  switch (file.kind) {
    case 'held':
      return file.file.kind === 'object' ? [file.file.object] : []
    case 'same':
      return []
    case 'assemble':
      return file.pieces.flatMap(({ origin, place }) => origin.objects?.(place) ?? [])
  }
}
