import { isEstargz } from '../formats/estargz/recognise.ts'
import { sizeOf } from '../formats/entry.ts'
import { readRecipe } from '../formats/tar/recipe.ts'
import { Merge } from '../image/apply.ts'
import { type ComposedImage, composeImage } from '../image/compose.ts'
import { type Directory, isDirectory, isHardLink } from '../image/tree.ts'
import type { LayerKind } from '../store/record.ts'

/** A stored layer, ready to be read. */
export interface LayerRecipe {
  /** Uncompressed. */
  readonly bytes: Uint8Array
  readonly kind: LayerKind
}

export interface ComposeOptions {
  /** Keep `security.selinux` from layers. */
  readonly keepSelinux: boolean
}

export interface Composed extends ComposedImage {
  /** Bytes of the regular files of the tree, each inode once. */
  readonly size: number
}

/** The merged tree of an image's layers, the lowest first. */
export function mergeLayers(layers: Iterable<LayerRecipe>, options: ComposeOptions): Directory {
  const merge = new Merge(options)
  for (const { bytes, kind } of layers) {
    const entries = [...readRecipe(bytes).entries()]
    merge.apply(entries, kind, { estargz: isEstargz(entries) })
  }
  return merge.finish()
}

/** The EROFS image of that tree. */
export function composeLayers(layers: Iterable<LayerRecipe>, options: ComposeOptions): Composed {
  const tree = mergeLayers(layers, options)
  return { ...composeImage(tree), size: fileBytes(tree) }
}

function fileBytes(root: Directory): number {
  let bytes = 0
  const pending = [root]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop())
    for (const child of directory.children.values()) {
      if (isHardLink(child)) continue
      if (isDirectory(child)) pending.push(child)
      else bytes += sizeOf(child.content)
    }
  return bytes
}
