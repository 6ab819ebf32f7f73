import type { Entry } from '../../formats/entry.ts'
import { TarParser, type TarBody, type TarHandler } from '../../formats/tar/tar-parser.ts'
import { RecipeWriter, recipeDigest } from '../../recipe/recipe.ts'
import type { Staging } from '../../store/transaction/staging.ts'
import { FileIntake, type Scratch } from './file-intake.ts'
import type { LayerJob, LayerResult } from './layer-job.ts'

/** Takes a layer apart: framing into the recipe, files into the store. */
export class LayerImport implements TarHandler {
  readonly #job: LayerJob
  readonly #staging: Staging
  readonly #recipe = new RecipeWriter()
  readonly #intake: FileIntake
  readonly #parser: TarParser
  #body: TarBody | undefined
  #tarSize = 0
  #files = 0

  constructor(job: LayerJob, staging: Staging, scratch: Scratch) {
    this.#job = job
    this.#staging = staging
    this.#intake = new FileIntake(staging, scratch)
    this.#parser = new TarParser(this, { maxEntries: job.limits.layerEntries, maxEntrySize: job.limits.layerBytes })
  }

  /** Takes the next bytes of the tar; they are the caller's again when this returns. */
  write(bytes: Uint8Array): void {
    this.#tarSize += bytes.length
    this.#parser.write(bytes)
    this.#intake.settle()
  }

  /** Stages the recipe, which is only allowed for a tar whose hash was found to be the diffID. */
  finish(): LayerResult {
    const { diffId, blobSize } = this.#job
    this.#parser.end()
    const recipeBytes = this.#recipe.finish({ diffId, tarSize: this.#tarSize })
    const recipe = recipeDigest(recipeBytes)
    this.#staging.stageRecipe(recipe, recipeBytes)
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
