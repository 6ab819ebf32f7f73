/**
 * `missing`: the objects that recipes need and fsck did not find, or took away because they were damaged; lines as in
 * `holds`. Written by each fsck, gone when nothing is missing. What is listed and there again is not missing: nobody has
 * to keep the list up to date. Losing it means that pulls take a layer for whole until the next fsck.
 */
import { existsSync } from 'node:fs'
import type { RecipeDigest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { readWhole } from '../store-files.ts'
import { parseHolds } from '../transaction/holds.ts'
import { missingFile, objectPath } from '../store-layout.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'

const missingMax = 670_000_000

/** The objects that are known to be missing at the moment. Costs one failing open(2) when none are. */
export class Missing {
  readonly #root: string
  #objects: ReadonlySet<VerityDigest> | undefined

  constructor(root: string) {
    this.#root = root
  }

  /** Whether a stored layer lacks none of the objects that are known to be missing, and its recipe can be read. */
  isWhole(recipe: RecipeDigest): boolean {
    this.#objects ??= readMissing(this.#root)
    if (this.#objects.size === 0) return true
    try {
      const bytes = readRecipeFile(this.#root, recipe)
      if (bytes === undefined) return false
      for (const { digest } of readRecipe(bytes).objects()) if (this.#objects.has(digest)) return false
      return true
    } catch (error) {
      if (error instanceof OnefoldError && error.code !== 'IO') return false
      throw error
    }
  }
}

function readMissing(root: string): ReadonlySet<VerityDigest> {
  const objects = new Set<VerityDigest>()
  for (const hold of parseHolds(listBytes(root)))
    if (hold.kind === 'o' && !existsSync(objectPath(root, hold.digest))) objects.add(hold.digest)
  return objects
}

/** The bytes of the list. What is no list of ours lists nothing. */
function listBytes(root: string): Uint8Array {
  try {
    return readWhole(`${root}/${missingFile}`, 'the list of missing objects', missingMax) ?? new Uint8Array()
  } catch (error) {
    if (error instanceof OnefoldError && (error.code === 'CORRUPT' || error.code === 'LIMIT')) return new Uint8Array()
    throw error
  }
}
