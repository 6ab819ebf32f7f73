import { parentPort, workerData } from 'node:worker_threads'
import type { Entry } from '../../formats/entry.ts'
import { TarParser, type TarBody, type TarHandler } from '../../formats/tar/parse.ts'
import { RecipeWriter, recipeDigest } from '../../formats/tar/recipe.ts'
import { Staging } from '../../store/staging.ts'
import { FileIntake } from './intake.ts'
import type { LaneSetup, LayerJob, LayerResult } from './job.ts'
import { Ring } from './ring.ts'
import { serveThread } from './thread.ts'

/** Second half of a lane: tar bytes in, staged objects and a recipe out. */

const setup = workerData as LaneSetup
const inflated = new Ring(setup.inflated)
const staging = new Staging(setup.storeRoot, setup.transaction, setup.name)

serveThread(
  parentPort,
  importLayer,
  () => inflated.end('aborted'),
  (result) => [result.recipeBytes.buffer as ArrayBuffer],
)

function importLayer(job: LayerJob): LayerResult {
  const layer = new LayerImport(job)
  for (let bytes = inflated.take(); bytes !== undefined; bytes = inflated.take()) {
    layer.write(bytes)
    inflated.release()
  }
  return layer.finish(job)
}

/** Takes a layer apart: framing into the recipe, files into the store. */
class LayerImport implements TarHandler {
  readonly #recipe = new RecipeWriter()
  readonly #intake = new FileIntake(staging)
  readonly #parser: TarParser
  #body: TarBody | undefined
  #tarSize = 0
  #files = 0

  constructor(job: LayerJob) {
    this.#parser = new TarParser(this, { maxEntries: job.limits.layerEntries, maxEntrySize: job.limits.layerBytes })
  }

  write(bytes: Uint8Array): void {
    this.#tarSize += bytes.length
    this.#parser.write(bytes)
    this.#intake.settle() // before the slot that its bytes lie in is filled again
  }

  finish({ diffId, blobSize }: LayerJob): LayerResult {
    this.#parser.end()
    const recipeBytes = this.#recipe.finish({ diffId, tarSize: this.#tarSize })
    const recipe = recipeDigest(recipeBytes)
    staging.stageRecipe(recipe, recipeBytes)
    const { newObjects, newBytes } = this.#intake
    return {
      recipe,
      recipeBytes,
      files: this.#files,
      blobBytes: blobSize,
      tarBytes: this.#tarSize,
      newObjects,
      newBytes,
    }
  }

  framing(bytes: Uint8Array): void {
    this.#recipe.framing(bytes)
  }

  entry(entry: Entry, body: TarBody): void {
    if (entry.type !== 'file') return
    this.#files++
    this.#body = body
    this.#intake.begin(body)
  }

  data(bytes: Uint8Array): void {
    this.#intake.data(bytes)
  }

  endEntry(): void {
    if (this.#body === undefined) return
    this.#recipe.file(this.#intake.end(), this.#body.ranges)
    this.#body = undefined
  }
}
