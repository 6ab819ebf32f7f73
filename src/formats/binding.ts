import type { Digest } from '../digest.ts'

/** Binding of an index by the descriptor of a layer: a digest; or a value that is none, and then nothing is bound. */
export interface Binding {
  readonly digest: Digest | undefined
}
