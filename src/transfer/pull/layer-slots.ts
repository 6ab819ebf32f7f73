import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { Composer } from '../../image/composer.ts'
import type { LayerKind } from '../../formats/layer-kind.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { WantedLayer } from './import-layers.ts'

/** Places of an image's layers, filled in whatever order the layers come; the composer gets each as it comes. */
export class LayerSlots {
  readonly #wanted: readonly WantedLayer[]
  readonly #kindAt: (place: number) => LayerKind
  readonly #composer: Composer
  readonly #filled = new Map<number, LayerRecord>()

  constructor(wanted: readonly WantedLayer[], kindAt: (place: number) => LayerKind, composer: Composer) {
    this.#wanted = wanted
    this.#kindAt = kindAt
    this.#composer = composer
  }

  /** Layers that have not come yet, the lowest first. */
  get missing(): WantedLayer[] {
    return this.#wanted.filter((_, place) => !this.#filled.has(place))
  }

  /** Puts a layer wherever it is wanted; its recipe is uncompressed. */
  fill(layer: LayerRecord, recipe: Uint8Array): void {
    for (const [place, { blob, diffId }] of this.#wanted.entries()) {
      if (diffId !== layer.diffId || this.#filled.has(place) || !isFor(layer, blob)) continue
      const kind = this.#kindAt(place)
      this.#filled.set(place, { ...layer, blob, kind })
      this.#composer.layer([place], { bytes: recipe, kind })
    }
  }

  /** Returns the layers in the order of the manifest. */
  records(): LayerRecord[] {
    return this.#wanted.map(({ diffId }, place) => {
      const record = this.#filled.get(place)
      if (record === undefined) throw new Error(`layer ${diffId} was neither present nor imported`)
      return record
    })
  }
}

/**
 * Tells whether a layer may stand for a blob. A proven one stands wherever its diffID does; any other only for the very
 * blob whose table it was read by.
 */
function isFor(layer: LayerRecord, blob: Descriptor): boolean {
  return layer.proof === 'proven' || layer.blob.digest === blob.digest
}
