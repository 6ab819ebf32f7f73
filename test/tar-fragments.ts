/** A stored layer cut into its entries, so that they can be put into another order. */
import { type Entry, sizeOf } from '../src/formats/entry.ts'
import { paddingOf } from '../src/formats/tar/tar-header.ts'
import { noTarLimits } from '../src/formats/tar/tar-limits.ts'
import { TarParser } from '../src/formats/tar/tar-parser.ts'
import type { ObjectPiece, Recipe } from '../src/recipe/recipe.ts'

export type TarPiece = Uint8Array | ObjectPiece

/** An entry with its headers, content and padding: what follows may be any other, or the end. */
export interface TarFragment {
  readonly entry: Entry
  readonly pieces: readonly TarPiece[]
}

export interface TarFragments {
  readonly fragments: readonly TarFragment[]
  /** The end marker, and whatever else is not an entry's. */
  readonly end: readonly TarPiece[]
}

export function cutTar(recipe: Recipe): TarFragments {
  const contents = recipe.entries()
  const fragments: { readonly entry: Entry; readonly pieces: TarPiece[] }[] = []
  let headers: TarPiece[] = []
  let padding = 0
  const parser = new TarParser(
    {
      framing: (bytes) => {
        const end = Math.min(padding, bytes.length)
        if (end > 0) fragments.at(-1)!.pieces.push(bytes.subarray(0, end))
        if (end < bytes.length) headers.push(bytes.subarray(end))
        padding -= end
      },
      entry: (_, { stored }) => {
        const entry = contents.next().value!
        fragments.push({ entry, pieces: headers })
        headers = []
        padding = paddingOf(stored)
        if (sizeOf(entry.content) > 0 && entry.content.kind === 'object') parser.bodyElsewhere()
      },
      data: (bytes) => void fragments.at(-1)!.pieces.push(bytes),
      endEntry: () => {},
    },
    noTarLimits,
  )
  for (const piece of recipe.rebuild())
    if (piece instanceof Uint8Array) parser.write(piece)
    else fragments.at(-1)!.pieces.push(piece)
  parser.end()
  return { fragments, end: headers }
}

/** @param order indices into `fragments`, each of them once */
export function* joinTar({ fragments, end }: TarFragments, order: readonly number[]): Generator<TarPiece> {
  for (const index of order) yield* fragments[index]!.pieces
  yield* end
}
