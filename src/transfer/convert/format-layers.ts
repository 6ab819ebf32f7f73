/** Layers of the store as blobs of a format. */
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import type { OptionSpecs, OptionsOf } from '../../formats/format-options.ts'
import type {
  AttachedArtifact,
  Companion,
  FormatWriter,
  ImageAddition,
  LayerWriter,
  WritingTools,
  WrittenLayer,
} from '../../formats/format.ts'
import type { Target } from '../../sources/targets/target.ts'
import type { ImageRecord, LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { withResult } from '../../streams.ts'
import type { LayerPlan, LayerStrategy } from '../send/layer-strategy.ts'
import { requireLayer, tarSizeOf, turning } from '../send/layer-tar.ts'
import { Originals } from '../send/originals.ts'
import type { ChosenFormat, ConvertOptions } from './convert-options.ts'
import { FirstPaths } from './first-paths.ts'
import { FormatTools } from './format-tools.ts'
import { StoredLayer } from './stored-layer.ts'

/** Writes layers in a format. */
export class FormatLayers implements LayerStrategy {
  readonly keepsDocuments = false
  readonly #store: Store
  readonly #writer: FormatWriter
  readonly #chosen: OptionsOf<OptionSpecs>
  readonly #layers: LayerWriter
  readonly #options: ConvertOptions
  readonly #tools: WritingTools & AsyncDisposable
  readonly #originals: Originals

  static async load(
    store: Store,
    { writer, options: chosen }: ChosenFormat,
    options: ConvertOptions,
  ): Promise<FormatLayers> {
    return new FormatLayers(store, { writer, options: chosen }, await writer.load(), options)
  }

  private constructor(store: Store, chosen: ChosenFormat, layers: LayerWriter, options: ConvertOptions) {
    this.#store = store
    this.#writer = chosen.writer
    this.#chosen = chosen.options
    this.#layers = layers
    this.#options = options
    this.#tools = new FormatTools(chosen.writer.coding, options)
    this.#originals = new Originals(options.source ?? {}, options)
  }

  plan(record: ImageRecord): LayerPlan[] {
    for (const layer of record.layers) requireConvertible(this.#store, layer)
    const wanted = this.#writer.first?.(this.#chosen) ?? []
    const first = new FirstPaths(this.#store, record.layers, wanted, this.#tools.onWarning)
    return record.layers.map((layer) => this.#planLayer(layer, first.of(layer), record.origin.source))
  }

  addition(layers: readonly WrittenLayer[]): ImageAddition | undefined {
    return this.#layers.image?.(layers, this.#chosen)
  }

  attach(image: Descriptor, layers: readonly WrittenLayer[]): AttachedArtifact | undefined {
    return this.#layers.attach?.(image, layers, this.#chosen)
  }

  companion(layers: readonly WrittenLayer[]): Companion | undefined {
    return this.#layers.companion?.(layers, this.#chosen)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#originals[Symbol.asyncDispose]()
    await this.#tools[Symbol.asyncDispose]()
  }

  #planLayer(layer: LayerRecord, first: readonly string[], origin: string): LayerPlan {
    const bytes = this.#writer.keepsBlobs === true ? layer.blob.digest : layer.diffId
    return {
      // What stands first decides the bytes, and another image may want other files of the same layer first.
      key: `${bytes} ${JSON.stringify(first)}`,
      send: (target) => this.#send(target, layer, first, origin),
    }
  }

  async #send(target: Target, layer: LayerRecord, first: readonly string[], origin: string): Promise<WrittenLayer> {
    await using input = new StoredLayer(
      this.#store,
      layer,
      first,
      { originals: this.#originals, origin },
      this.#options,
    )
    const { mediaType, bytes } = await this.#layers.layer(input, this.#chosen, this.#tools)
    const { stream, result } = withResult(bytes)
    const { digest, size } = await target.addLayer(turning(stream, this.#options.signal), sizeMax(this.#store, layer))
    return { ...result(), blob: { mediaType, digest, size } }
  }
}

/** Bytes that the blob stays below: members of small files, and a table, take more room than the tar alone. */
function sizeMax(store: Store, layer: LayerRecord): number {
  return tarSizeOf(store, layer) * 2 + 2 ** 20
}

/** UNSUPPORTED when the tar of the layer is not known, or would mean something else as a layer. */
function requireConvertible(store: Store, layer: LayerRecord): void {
  if (layer.proof !== 'proven') throw notProven(layer.blob)
  requireLayer(store, layer)
}

function notProven({ digest }: Descriptor): OnefoldError {
  const found = 'only parts of it were pulled, and its tar is not known'
  return new OnefoldError('UNSUPPORTED', `Cannot convert layer ${digest}: ${found}`, {
    hint: 'Fetch the rest of the image first: onefold verify --fetch IMAGE',
  })
}
