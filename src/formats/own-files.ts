/** Files in the root of a layer's tar that are a format's own and do not show in trees: see docs/tree.md. */
export interface OwnFiles {
  /** All of them; what bears such a name and is no regular file is not the format's. */
  readonly names: readonly string[]
  /** They are the format's only where one of these is among them, with the content `landmark`. */
  readonly landmarks: readonly string[]
  /** No longer than what is kept inline. */
  readonly landmark: Uint8Array
}
