import type { VerityDigest } from '../digest.ts'
import { type ErofsOptions, writeErofs } from '../formats/erofs/write.ts'
import type { FlatTree } from '../formats/flat/flat.ts'
import { verityDigest } from '../formats/fsverity/digest.ts'
import type { Directory } from '../formats/tree.ts'

/** The composefs image of a tree. */
export interface ComposedImage {
  readonly bytes: Uint8Array
  /** Of `bytes`: the image's name, and what a mount can insist on. */
  readonly digest: VerityDigest
  /** Of the composefs format. */
  readonly version: 0 | 1
}

/**
 * The image `mkcomposefs` makes of the tree, byte for byte, with its fs-verity digest. The tree is not changed.
 * Throws BAD_FORMAT for what is no tree, LIMIT for what the format cannot hold.
 */
export function composeImage(root: Directory | FlatTree, options: ErofsOptions = {}): ComposedImage {
  const { bytes, version } = writeErofs(root, options)
  return { bytes, digest: verityDigest(bytes), version }
}
