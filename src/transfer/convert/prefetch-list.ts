import { cleanPath } from '../../formats/path.ts'
import { pathFromUtf8 } from '../../paths.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import type { ConvertOptions } from './convert-options.ts'
import { pathsIn } from './ordered-tar.ts'

/** Which layer each path is to be prefetched from: the highest that has it, since that is the one it is read from. */
export class PrefetchList {
  readonly #wanted = new Map<LayerRecord, string[]>()

  constructor(store: Store, { layers }: ImageRecord, { prioritized = [], onWarning }: ConvertOptions) {
    if (prioritized.length === 0) return
    const left = new Map(prioritized.map((text) => [cleanPath(pathFromUtf8(text)), text]))
    for (const layer of layers.toReversed()) {
      const paths = pathsIn(store, layer)
      const found = [...left.keys()].filter((path) => paths.has(path))
      for (const path of found) left.delete(path)
      this.#wanted.set(layer, found)
    }
    for (const text of left.values()) onWarning?.(`${JSON.stringify(text)} is in none of the layers`)
  }

  /** In the order they are read, one char per byte. */
  of(layer: LayerRecord): readonly string[] {
    return this.#wanted.get(layer) ?? []
  }
}
