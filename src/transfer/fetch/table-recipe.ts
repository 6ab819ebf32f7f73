import type { DiffId } from '../../digest.ts'
import { type Content, sizeOf } from '../../formats/entry.ts'
import { RecipeWriter } from '../../recipe/recipe.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../../formats/tar/tar-writer.ts'
import type { ContentIndex, TarSplit } from '../../formats/content-index.ts'

/** Returns the recipe of the tar that the tar-split was taken from; `contents` are those of the table's files. */
export function splitRecipe(split: TarSplit, contents: readonly Content[], diffId: DiffId): Uint8Array {
  const recipe = new RecipeWriter()
  let from = 0
  for (const { at, file } of split.bodies) {
    recipe.framing(split.framing.subarray(from, at))
    from = at
    const content = contents[file]
    if (content === undefined) throw new Error(`the tar-split names file ${file}, which the table does not have`)
    recipe.file(content, undefined)
  }
  recipe.framing(split.framing.subarray(from))
  return recipe.finish({ diffId, tarSize: split.tarSize })
}

/**
 * Returns a recipe with the entries of the table, as a tar of our own making: the layer's real headers were not seen.
 * `diffId` is what the config claims, and not the hash of this tar.
 */
export function tableRecipe({ files }: ContentIndex, contents: readonly Content[], diffId: DiffId): Uint8Array {
  const recipe = new RecipeWriter()
  let tarSize = 0
  const framing = (bytes: Uint8Array): void => {
    recipe.framing(bytes)
    tarSize += bytes.length
  }
  files.forEach(({ entry }, index) => {
    const size = sizeOf(entry.content)
    framing(writeTarHeader(entry, size))
    recipe.file(contents[index] ?? entry.content, undefined)
    tarSize += size
    framing(tarPadding(size))
  })
  framing(tarTrailer())
  return recipe.finish({ diffId, tarSize })
}
