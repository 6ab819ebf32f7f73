import { type Entry, sizeOf } from '../formats/entry.ts'
import { isEstargz } from '../formats/estargz/recognise.ts'
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

interface ReadLayer {
  readonly entries: readonly Entry[]
  readonly kind: LayerKind
}

/**
 * Makes one image of layers that come in any order: each is read when it comes and merged when it is its turn, so that
 * little is left to do when the last one is there.
 */
export class Composer {
  readonly #merge: Merge
  readonly #waiting = new Map<number, ReadLayer>()
  #next = 0

  constructor(options: ComposeOptions) {
    this.#merge = new Merge(options)
  }

  /** The same layer may stand in several places; the lowest place is 0. */
  layer(places: readonly number[], { bytes, kind }: LayerRecipe): void {
    const layer: ReadLayer = { entries: [...readRecipe(bytes).entries()], kind }
    for (const place of places) this.#waiting.set(place, layer)
    for (let ready = this.#take(); ready !== undefined; ready = this.#take())
      this.#merge.apply(ready.entries, ready.kind, { estargz: isEstargz(ready.entries) })
  }

  #take(): ReadLayer | undefined {
    const layer = this.#waiting.get(this.#next)
    if (layer !== undefined) this.#waiting.delete(this.#next++)
    return layer
  }

  /** The EROFS image of the merged tree. */
  finish(): Composed {
    if (this.#waiting.size > 0) throw new Error(`layer ${this.#next} is missing`)
    const tree = this.#merge.finish()
    return { ...composeImage(tree), size: fileBytes(tree) }
  }
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
