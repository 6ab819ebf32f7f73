import type { Digest } from '../digest.ts'

/** Event of a long operation while it goes on. */
export type PullEvent =
  /** Progress of a layer: `done` of `size` compressed bytes have been taken in; `finished` when the layer is staged. */
  | {
      readonly type: 'layer'
      readonly digest: Digest
      readonly size: number
      readonly done: number
      readonly finished: boolean
    }
  /** Step that begins now, in a word or two. */
  | { readonly type: 'step'; readonly step: ProgressStep }

export type ProgressStep =
  | 'resolving'
  | 'reading changes'
  | 'pulling'
  | 'comparing with the store'
  | 'composing image'
  | 'exporting'
  | 'pushing'
  | 'converting'
  | 'indexing'
  | 'making durable'
  | 'reading files'
  | 'sealing'
  | 'collecting garbage'

export type OnProgress = (event: PullEvent) => void
