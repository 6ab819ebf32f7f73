import { flatten } from '../formats/flat/flatten.ts'
import type { FlatTree } from '../formats/flat/flat-tree.ts'
import { readRecipe } from '../recipe/recipe.ts'
import { Merge } from './merge/apply-layers.ts'
import { type ComposedImage, streamImage } from './stream-image.ts'
import { S_IFMT, S_IFREG } from '../formats/tree.ts'
import type { LayerKind } from '../formats/layer-kind.ts'

/** Stored layer, ready to be read. */
export interface LayerRecipe {
  /** Uncompressed bytes of the recipe. */
  readonly bytes: Uint8Array
  readonly kind: LayerKind
}

export interface ComposeOptions {
  /** Keeps `security.selinux` from layers. */
  readonly keepSelinux: boolean
}

export interface Composed extends Omit<ComposedImage, 'bytes'> {
  /** Total size of the regular files of the tree, each inode once, in bytes. */
  readonly size: number
}

/**
 * Makes one image of layers that come in any order: each is merged as soon as all below it are, so that little is left
 * to do when the last one is there, and no more than one layer's entries are ever in memory.
 */
export class Composer {
  #merge: Merge
  readonly #waiting = new Map<number, LayerRecipe>()
  #next = 0

  constructor(options: ComposeOptions) {
    this.#merge = new Merge(options)
  }

  /** Adds a layer at its places, of which the lowest is 0; the same layer may stand in several. */
  layer(places: readonly number[], layer: LayerRecipe): void {
    for (const place of places) this.#waiting.set(place, layer)
    for (let ready = this.#take(); ready !== undefined; ready = this.#take()) {
      // In a tree that is no layer, sockets are as our own tars hold them.
      const fileTypes = ready.kind === 'plain' ? 'apply' : 'ignore'
      this.#merge.apply(readRecipe(ready.bytes).entries({ fileTypes }), ready.kind)
    }
  }

  #take(): LayerRecipe | undefined {
    const layer = this.#waiting.get(this.#next)
    if (layer !== undefined) this.#waiting.delete(this.#next++)
    return layer
  }

  /**
   * Makes the EROFS image of the merged tree, which `sink` gets in pieces that are good until the next one. Nothing can
   * be added afterwards: the tree is let go before its image is made.
   */
  finish(sink?: (piece: Uint8Array) => void): Composed {
    if (this.#waiting.size > 0) throw new Error(`layer ${this.#next} is missing`)
    const tree = flatten(this.#merge.finish())
    this.#merge = new Merge()
    const size = fileBytes(tree)
    return { ...streamImage(tree, sink), size }
  }
}

function fileBytes(tree: FlatTree): number {
  let bytes = 0
  for (let inode = 0; inode < tree.inodes; inode++)
    if ((tree.mode(inode) & S_IFMT) === S_IFREG) bytes += tree.size(inode)
  return bytes
}
