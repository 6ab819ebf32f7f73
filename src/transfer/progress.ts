import type { Digest } from '../digest.ts'

/** What a long operation tells while it goes on. */
export type PullEvent =
  /** `done` of `size` compressed bytes have been taken in; `finished` when the layer is staged. */
  | {
      readonly type: 'layer'
      readonly digest: Digest
      readonly size: number
      readonly done: number
      readonly finished: boolean
    }
  /** What happens now, in a word or two. */
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
