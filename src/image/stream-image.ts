import type { VerityDigest } from '../digest.ts'
import { type ErofsOptions, planErofs } from '../formats/composefs/plan-image.ts'
import { streamErofs, writeErofs } from '../formats/composefs/write-image.ts'
import type { FlatTree } from '../formats/flat/flat-tree.ts'
import { VerityHasher, verityDigest } from '../formats/fsverity/verity-digest.ts'
import type { Directory } from '../formats/tree.ts'

/** Composefs image of a tree. */
export interface ComposedImage {
  readonly bytes: Uint8Array
  /** fs-verity digest of `bytes`: the image's name, and what a mount can insist on. */
  readonly digest: VerityDigest
  /** Version of the composefs format. */
  readonly version: 0 | 1
}

/**
 * Makes the image that `mkcomposefs` makes of the tree, byte for byte, with its fs-verity digest. The tree is not
 * changed. Throws BAD_FORMAT for what is no tree, LIMIT for what the format cannot hold.
 */
export function composeImage(root: Directory | FlatTree, options: ErofsOptions = {}): ComposedImage {
  const { bytes, version } = writeErofs(root, options)
  return { bytes, digest: verityDigest(bytes), version }
}

/**
 * Makes the same image as composeImage(), handed on in pieces that are good until the next one: it is never in memory
 * as a whole.
 */
export function streamImage(
  root: Directory | FlatTree,
  sink: (piece: Uint8Array) => void = () => {},
): Omit<ComposedImage, 'bytes'> {
  const hasher = new VerityHasher()
  const plan = planErofs(root)
  streamErofs(plan, (piece) => {
    hasher.update(piece)
    sink(piece)
  })
  return { digest: hasher.digest(), version: plan.version }
}
