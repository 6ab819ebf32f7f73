import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { RecipeDigest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import type { DeadFolder } from './dead-folders.ts'
import { listFolder, readWhole } from '../store-files.ts'
import { objectPath } from '../store-layout.ts'
import { FileHasher } from '../objects/object-files.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import { type LayerRecord, parseLayer, recordMax } from '../records/image-record.ts'
import type { Staging } from './staging.ts'

/**
 * Takes up the finished layers of transactions whose process died: moves their recipes and objects into a living one.
 * Nothing in a dead folder was synced, so after a power cut anything may be empty or torn: every byte is hashed again,
 * and a layer that misses anything is left behind.
 */
export async function adoptLayers(root: string, dead: readonly DeadFolder[], staging: Staging): Promise<LayerRecord[]> {
  const adoption = new Adoption(
    root,
    staging,
    dead.map(({ path }) => path),
  )
  const layers: LayerRecord[] = []
  for (const { path } of dead) {
    for (const layer of notesIn(path)) if (await adoption.take(layer)) layers.push(layer)
  }
  return layers
}

function notesIn(dead: string): LayerRecord[] {
  const names = existsSync(`${dead}/notes`) ? listFolder(`${dead}/notes`) : []
  return names.map((name) => orUndefined(() => readNote(dead, name))).filter((layer) => layer !== undefined)
}

function readNote(dead: string, name: string): LayerRecord | undefined {
  const bytes = readWhole(`${dead}/notes/${name}`, `note ${name}`, recordMax)
  const layer = bytes === undefined ? undefined : parseLayer(bytes, `note ${name}`)
  return layer?.blob.digest === name && layer.proof === 'proven' ? layer : undefined
}

class Adoption {
  readonly #root: string
  readonly #staging: Staging
  readonly #dead: readonly string[]
  /** Objects known to be whole in the store or here. */
  readonly #present = new Set<VerityDigest>()
  readonly #hasher = new FileHasher()

  constructor(root: string, staging: Staging, dead: readonly string[]) {
    this.#root = root
    this.#staging = staging
    this.#dead = dead
  }

  /**
   * Takes all of the layer or nothing. A layer may lie in several folders: who adopted it last may have been killed
   * too.
   */
  async take(layer: LayerRecord): Promise<boolean> {
    const bytes = this.#recipe(layer.recipe)
    const recipe = bytes && orUndefined(() => readRecipe(bytes))
    if (bytes === undefined || recipe?.diffId !== layer.diffId) return false
    const wanted = new Set<VerityDigest>()
    for (const { digest } of recipe.objects()) if (!this.#present.has(digest)) wanted.add(digest)
    const places = await this.#places(wanted)
    if (places === undefined) return false
    for (const [digest, place] of places) this.#staging.take(digest, place)
    for (const digest of wanted) this.#present.add(digest)
    this.#staging.stageRecipe(layer.recipe, bytes)
    return true
  }

  /** Paths of the objects that the store lacks; undefined when one is nowhere, or damaged. */
  async #places(wanted: ReadonlySet<VerityDigest>): Promise<Map<VerityDigest, string> | undefined> {
    // Held is only what seems to be there, so that a layer left behind leaves no hold on nothing.
    const held = new Set([...wanted].filter((digest) => existsSync(objectPath(this.#root, digest))))
    this.#staging.hold(held)
    const places = new Map<VerityDigest, string>()
    for (const digest of wanted) {
      if (this.#staging.isStaged(digest) || (held.has(digest) && this.#staging.has(digest))) continue
      await nextTurn()
      const folder = this.#dead.find((path) => this.#isWhole(objectPath(path, digest), digest))
      if (folder === undefined) return undefined
      places.set(digest, objectPath(folder, digest))
    }
    return places
  }

  #recipe(digest: RecipeDigest): Uint8Array | undefined {
    for (const folder of [this.#root, ...this.#dead]) {
      const bytes = orUndefined(() => readRecipeFile(folder, digest))
      if (bytes !== undefined) return bytes
    }
    return undefined
  }

  #isWhole(path: string, digest: VerityDigest): boolean {
    return orUndefined(() => this.#hasher.hash(path)) === digest
  }
}

/** The value, or undefined when what it is read from is damaged: the layer is started over then. */
function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError && error.code !== 'IO') return undefined
    throw error
  }
}
