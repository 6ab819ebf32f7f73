import type { DiffId } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { LayerInput } from '../../formats/format.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { layerTar } from '../send/layer-tar.ts'
import type { Originals } from '../send/originals.ts'
import type { ConvertOptions } from './convert-options.ts'
import { type OrderedTar, orderTar } from './ordered-tar.ts'

/** The place that the blob of a layer came from. */
export interface Origin {
  readonly originals: Originals
  /** The name of a source. */
  readonly origin: string
}

/** A layer of the store, as writers of formats take it. */
export class StoredLayer implements LayerInput, AsyncDisposable {
  readonly blob: Descriptor
  readonly diffId: DiffId
  readonly first: number
  readonly #store: Store
  readonly #layer: LayerRecord
  readonly #ordered: OrderedTar | undefined
  readonly #origin: Origin
  readonly #options: ConvertOptions
  #chunks: AsyncGenerator<Uint8Array> | undefined

  /** @param first paths that go to the front, one char per byte */
  constructor(store: Store, layer: LayerRecord, first: readonly string[], origin: Origin, options: ConvertOptions) {
    this.#store = store
    this.#layer = layer
    this.#origin = origin
    this.#options = options
    this.#ordered = first.length === 0 ? undefined : orderTar(store, layer, first)
    this.blob = layer.blob
    this.diffId = layer.diffId
    this.first = this.#ordered?.count ?? 0
  }

  tar(): Iterable<Uint8Array> {
    return this.#ordered?.tar() ?? layerTar(this.#store, this.#layer, this.#options)
  }

  async original(accepts: (first: Uint8Array) => boolean): Promise<AsyncIterable<Uint8Array> | undefined> {
    const chunks = this.#origin.originals.blob(this.blob, this.#origin.origin)
    this.#chunks = chunks
    try {
      // Its bytes are good until the next are asked for, which is after these have been used.
      const first = await chunks.next()
      return first.done === true || !accepts(first.value) ? undefined : beginningWith(first.value, chunks)
    } catch (error) {
      this.#options.signal?.throwIfAborted()
      if (!(error instanceof OnefoldError)) throw error
      const why = error.cause instanceof Error ? error.cause.message : error.message
      const found = `layer ${this.blob.digest} is compressed anew, its origin does not give it: ${why}`
      this.#options.onWarning?.(found)
      return undefined
    }
  }

  /** Lets the origin go, also when nobody came to read all of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks?.return(undefined)
  }
}

async function* beginningWith(first: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first
  yield* rest
}
