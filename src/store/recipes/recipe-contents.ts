import { hash } from 'node:crypto'
import { type RecipeDigest, type VerityDigest, parseRecipeDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { digestOfName } from '../store-layout.ts'
import { readRecipeFile } from './recipe-files.ts'

/** The contents of files, as far as a recipe knows of them. */
export interface RecipeContents {
  readonly objects: readonly { readonly digest: VerityDigest; readonly size: number }[]
  readonly inlines: readonly { readonly sha256: string; readonly bytes: Uint8Array }[]
  /** Objects of some size, with their paths. */
  readonly places: readonly { readonly path: string; readonly digest: VerityDigest }[]
}

/** Reads what a recipe knows; undefined for what is no recipe, or a damaged one, which is for fsck to report. */
export function knownOfRecipe(root: string, name: string, placeMin: number): RecipeContents | undefined {
  if (digestOfName('layers', name) === undefined) return undefined
  try {
    return contentsOf(root, parseRecipeDigest(name), placeMin)
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}

function contentsOf(root: string, digest: RecipeDigest, placeMin: number): RecipeContents | undefined {
  const bytes = readRecipeFile(root, digest)
  if (bytes === undefined) return undefined
  const objects = new Map<VerityDigest, number>()
  const inlines = new Map<string, Uint8Array>()
  const places: { path: string; digest: VerityDigest }[] = []
  for (const { path, content } of readRecipe(bytes).entries()) {
    if (content.kind === 'inline') inlines.set(hash('sha256', content.bytes, 'hex'), content.bytes)
    if (content.kind !== 'object') continue
    objects.set(content.digest, content.size)
    if (content.size >= placeMin) places.push({ path, digest: content.digest })
  }
  return {
    objects: [...objects].map(([object, size]) => ({ digest: object, size })),
    inlines: [...inlines].map(([sha256, inline]) => ({ sha256, bytes: inline })),
    places,
  }
}
