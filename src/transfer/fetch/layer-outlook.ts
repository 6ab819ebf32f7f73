import type { DiffId, VerityDigest } from '../../digest.ts'
import type { DescribedImage } from '../../formats/format.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { LayerToc } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import type { LayerPlan, Planned } from './plan-layers.ts'
import { type IndexCost, noCost } from './source-answers.ts'

/** Policy for layers that bring a table of contents. */
export type PartialPolicy =
  /** Pulls by parts where that saves enough. */
  | 'auto'
  /** Pulls by parts wherever there is a table, whether or not anything binds it: a layer that is not proven says so. */
  | 'always'
  /** Pulls whole: every layer is proven. */
  | 'never'

/** Decision about one layer, with the reason. */
export interface LayerOutlook {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly how: 'present' | 'parts' | 'whole'
  /** Reason, for people. */
  readonly why: string
  readonly toc?: LayerToc
  /** State of proof: whether the tar can be rebuilt and hashed at once. */
  readonly proof: 'proven' | 'toc-only'
  /** Cost of reading the index. */
  readonly table: IndexCost
  readonly plan?: LayerPlan
}

export interface OutlookOptions {
  readonly store: Store
  /** Image that the layers belong to. */
  readonly image: DescribedImage
  readonly policy: PartialPolicy
  readonly limits: ImportLimits
  /** Keeps objects safe from garbage collection before they are looked for; does nothing where a plan is only shown. */
  readonly hold: (objects: readonly VerityDigest[]) => void
  readonly signal: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/** Bytes that come while a request waits its turn, about. */
const requestBytes = 16 * 1024
/** Shares of the blob below which parts are worth it: for a layer that can be proven, and for one that cannot. */
const provenShare = 0.8
const believedShare = 0.5

export interface Candidate {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly toc: LayerToc
  readonly proof: 'proven' | 'toc-only'
  readonly table: IndexCost
}

/** Returns the outlook on a layer that is pulled whole, whatever index it may have. */
export function wholeLayer({ blob, diffId }: Pick<Candidate, 'blob' | 'diffId'>, why: string): LayerOutlook {
  return { blob, diffId, how: 'whole', why, proof: 'proven', table: noCost }
}

/**
 * Decides between parts and the whole. Whole layers are quicker per byte, since they are imported by several threads in
 * one pass, and they are proven; so parts have to save something, and more where they leave the proof for later.
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
