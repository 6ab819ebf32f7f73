import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Digest, checkDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { type Content, sizeOf } from '../../formats/entry.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { recipeDigest } from '../../recipe/recipe.ts'
import type { Source } from '../../sources/source.ts'
import type { Store } from '../../store/store.ts'
import type { Transaction } from '../../store/transaction/transaction.ts'
import { FileIntake, Scratch } from '../import/file-intake.ts'
import type { ImportLimits, LayerResult } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import { Arena } from '../../content/arena.ts'
import { type BlobRange, RangeScheduler } from '../../content/range-scheduler.ts'
import type { RangeSource } from '../../content/range-source.ts'
import { UnitReader } from '../../content/unit-reader.ts'
import { assembleLayer } from './assemble-layer.ts'
import type { LayerOutlook } from './layer-outlook.ts'
import type { LayerPlan } from './plan-layers.ts'
import { checkObject, proveRecipe } from './prove-recipe.ts'
import { splitRecipe, tableRecipe } from './table-recipe.ts'

export interface FetchOptions {
  readonly source: Source
  readonly store: Store
  readonly transaction: Transaction
  readonly limits: ImportLimits
  readonly signal: AbortSignal | undefined
  readonly onProgress: OnProgress | undefined
  readonly onLayer: (layer: PartialOutlook, result: LayerResult) => void
  /** Called for a layer that has to be pulled whole after all. */
  readonly onFailed: (layer: PartialOutlook, error: OnefoldError) => Promise<void>
}

export type PartialOutlook = LayerOutlook & { readonly plan: LayerPlan }

/**
 * Carries out plans, the lowest layer first: files that one assembles, those above it reuse. A layer whose parts are
 * not what its table says, or that its source does not give out in parts, is left for a whole pull, which says what is
 * wrong. Returns the assembled contents, by the name of their content.
 */
export async function fetchParts(
  layers: readonly PartialOutlook[],
  options: FetchOptions,
): Promise<ReadonlyMap<string, Content>> {
  const requests = layers.flatMap(({ plan }) => plan.requests)
  const done = new Map<Descriptor, number>()
  const { signal, onProgress } = options
  const onBytes = (blob: Descriptor, bytes: number): void => {
    done.set(blob, (done.get(blob) ?? 0) + bytes)
    onProgress?.({ type: 'layer', ...sizesOf(blob, layers), done: done.get(blob) ?? 0, finished: false })
  }
  const read = (range: BlobRange, abort: AbortSignal): AsyncIterable<Uint8Array> =>
    readRange(options.source, range, abort)
  using scheduler = new RangeScheduler(requests, { read, signal, onBytes })
  using work = new PartWork(options, scheduler)
  for (const layer of layers) {
    const result = await work.layer(layer).catch((error: unknown) => {
      if (isLayersFault(error)) return error
      throw error
    })
    for (const blob of layer.plan.index.blobs) scheduler.drop(blob)
    if (result instanceof OnefoldError) {
      await options.onFailed(layer, result)
      continue
    }
    options.onLayer(layer, result)
    const { digest, size } = sizesOf(layer.blob, layers)
    onProgress?.({ type: 'layer', digest, size, done: size, finished: true })
  }
  return work.assembled
}

function readRange(source: Source, { blob, start, end }: BlobRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
  return source.blob(blob, { offset: start, end, exact: true, lent: true, signal })
}

function sizesOf(blob: Descriptor, layers: readonly PartialOutlook[]): { digest: Digest; size: number } {
  const layer = layers.find((candidate) => candidate.blob === blob)
  return { digest: blob.digest, size: layer?.plan.count.fetchBytes ?? blob.size }
}

/**
 * Tells whether a whole pull may do better, or say better what is wrong. A network that fails, or a full disk, is no
 * such error.
 */
function isLayersFault(error: unknown): error is OnefoldError {
  const codes = ['BAD_FORMAT', 'DIGEST_MISMATCH', 'LIMIT', 'UNSUPPORTED', 'NOT_FOUND', 'CORRUPT'] as const
  return codes.some((code) => hasCode(error, code))
}

class PartWork implements Disposable {
  readonly #options: FetchOptions
  readonly #ranges: RangeSource
  readonly #staging
  readonly #intake: FileIntake
  readonly #arena: Arena
  readonly assembled = new Map<string, Content>()

  constructor(options: FetchOptions, ranges: RangeSource) {
    this.#options = options
    this.#ranges = ranges
    this.#staging = options.transaction.staging('parts')
    this.#intake = new FileIntake(this.#staging, new Scratch())
    this.#arena = new Arena(() => this.#intake.settle())
  }

  async layer(layer: PartialOutlook): Promise<LayerResult> {
    const { plan, diffId, proof } = layer
    const before = { objects: this.#intake.newObjects, bytes: this.#intake.newBytes }
    const contents = await this.#contents(plan)
    const { tarSplit } = plan.index
    const { transaction } = this.#options
    let recipeBytes: Uint8Array
    if (proof === 'proven' && tarSplit !== undefined) {
      recipeBytes = splitRecipe(tarSplit, contents, diffId)
      await proveRecipe(transaction, recipeBytes, this.#options.signal)
    } else {
      await this.#checkHeld(plan)
      recipeBytes = tableRecipe(plan.index, contents, diffId)
    }
    const recipe = recipeDigest(recipeBytes)
    this.#staging.stageRecipe(recipe, recipeBytes)
    return {
      recipe,
      recipeBytes,
      files: plan.files.filter((file) => file !== undefined).length,
      blobBytes: plan.count.fetchBytes + layer.table.bytes,
      tarBytes: tarSplit?.tarSize ?? 0,
      newObjects: this.#intake.newObjects - before.objects,
      newBytes: this.#intake.newBytes - before.bytes,
    }
  }

  [Symbol.dispose](): void {
    this.#staging.close()
  }

  async #contents(plan: LayerPlan): Promise<Content[]> {
    const { signal, limits, store } = this.#options
    const { zstdWindowLog } = limits
    using units = new UnitReader(plan.index, { arena: this.#arena, ranges: this.#ranges, zstdWindowLog })
    return await assembleLayer(plan, {
      store,
      units,
      arena: this.#arena,
      intake: this.#intake,
      assembled: this.assembled,
      signal,
    })
  }

  /**
   * Hashes held files where no diffID will show that they are right: the index says which object has which sha256, and
   * is not believed.
   */
  async #checkHeld({ index, files }: LayerPlan): Promise<void> {
    const checked = new Set<Digest>()
    for (const [number, plan] of files.entries()) {
      const digest = index.files[number]?.digests.sha256
      if (plan?.kind !== 'held' || digest === undefined || checked.has(digest)) continue
      checked.add(digest)
      const { file } = plan
      if (file.kind === 'inline') {
        checkDigest(file.bytes, digest, 'a file of the index')
        continue
      }
      const size = sizeOf(index.files[number]?.entry.content ?? { kind: 'empty' })
      await checkObject(this.#options.store, file.object, digest, size)
      if (checked.size % 64 === 0) await nextTurn()
      this.#options.signal?.throwIfAborted()
    }
  }
}
