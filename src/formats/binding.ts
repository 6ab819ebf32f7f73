import type { Digest } from '../digest.ts'

/** By what the descriptor of a layer binds an index: a digest; or something that is none, and then nothing is bound. */
export interface Binding {
  readonly digest: Digest | undefined
}
