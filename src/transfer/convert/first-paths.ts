import { cleanPath } from '../../formats/path.ts'
import { pathFromUtf8 } from '../../paths.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { pathsIn } from './ordered-tar.ts'

/** Which layer each wanted path is to stand first in: the highest that has it, since that is the one it is read from. */
export class FirstPaths {
  readonly #wanted = new Map<LayerRecord, string[]>()

  /** @param wanted paths as UTF-8 text */
  constructor(
    store: Store,
    layers: readonly LayerRecord[],
    wanted: readonly string[],
    onWarning: (message: string) => void,
  ) {
    if (wanted.length === 0) return
    const left = new Map(wanted.map((text) => [cleanPath(pathFromUtf8(text)), text]))
    for (const layer of layers.toReversed()) {
      const paths = pathsIn(store, layer)
      const found = [...left.keys()].filter((path) => paths.has(path))
      for (const path of found) left.delete(path)
      this.#wanted.set(layer, found)
    }
    for (const text of left.values()) onWarning(`${JSON.stringify(text)} is in none of the layers`)
  }

  /** The paths of a layer in the order they are wanted, one char per byte. */
  of(layer: LayerRecord): readonly string[] {
    return this.#wanted.get(layer) ?? []
  }
}
