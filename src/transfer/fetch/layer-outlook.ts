import type { DiffId, VerityDigest } from '../../digest.ts'
import type { DescribedImage } from '../../formats/format.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { LayerToc } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import type { LayerPlan, Planned } from './plan-layers.ts'
import { type IndexCost, noCost } from './source-answers.ts'

/** How layers that bring a table of contents are pulled. */
export type PartialPolicy =
  /** By parts where that saves enough. */
  | 'auto'
  /** By parts wherever there is a table, whether or not anything binds it: what is not proven says so. */
  | 'always'
  /** Whole: every layer is proven. */
  | 'never'

/** What will be done about one layer, and why. */
export interface LayerOutlook {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly how: 'present' | 'parts' | 'whole'
  /** For people. */
  readonly why: string
  readonly toc?: LayerToc
  /** Whether the tar can be rebuilt and hashed at once. */
  readonly proof: 'proven' | 'toc-only'
  /** What reading the index took. */
  readonly table: IndexCost
  readonly plan?: LayerPlan
}

export interface OutlookOptions {
  readonly store: Store
  /** The image that the layers are of. */
  readonly image: DescribedImage
  readonly policy: PartialPolicy
  readonly limits: ImportLimits
  /** Keeps objects safe from garbage collection before they are looked for; does nothing for who only wants to know. */
  readonly hold: (objects: readonly VerityDigest[]) => void
  readonly signal: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** A request that waits its turn costs about as much as this many bytes that come without one. */
const requestBytes = 16 * 1024
/** A part of the blob that has to be saved before parts are worth it: of what can be proven, and of what cannot. */
const provenShare = 0.8
const believedShare = 0.5

export interface Candidate {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly toc: LayerToc
  readonly proof: 'proven' | 'toc-only'
  readonly table: IndexCost
}

/** An outlook on a layer that is pulled whole, whatever index it may have. */
export function wholeLayer({ blob, diffId }: Pick<Candidate, 'blob' | 'diffId'>, why: string): LayerOutlook {
  return { blob, diffId, how: 'whole', why, proof: 'proven', table: noCost }
}

/**
 * Parts or the whole. Whole layers are quicker per byte, since they are imported by several threads in one pass, and they
 * are proven; so parts have to save something, and more where they leave the proof for later.
 */
export function decide(candidate: Candidate, planned: Planned, policy: PartialPolicy): LayerOutlook {
  if ('refused' in planned)
    return { ...candidate, how: 'whole', why: `its table cannot be followed: ${planned.refused}` }
  const { blob, proof } = candidate
  const { fetchBytes, requests } = planned.count
  const cost = fetchBytes + requests * requestBytes
  const share = proof === 'proven' ? provenShare : believedShare
  const outlook = { ...candidate, plan: planned }
  if (policy === 'always') return { ...outlook, how: 'parts', why: 'parts were asked for' }
  if (cost <= blob.size * share) return { ...outlook, how: 'parts', why: 'the store has much of it' }
  const most = fetchBytes >= blob.size * share ? 'most of it is missing' : 'its parts are too scattered'
  const why = proof === 'proven' ? most : `${most}, and whole it is proven`
  return { ...outlook, how: 'whole', why }
}
