/** A layer's tar with its entries in another order, those first that somebody reads first. */
import { prioritize } from '../../formats/tar/prioritize.ts'
import type { Entry } from '../../formats/entry.ts'
import { paddingOf } from '../../formats/tar/tar-header.ts'
import { noTarLimits } from '../../formats/tar/tar-limits.ts'
import { TarParser } from '../../formats/tar/tar-parser.ts'
import { type ObjectPiece, type Recipe, readRecipe } from '../../recipe/recipe.ts'
import type { LayerRecord } from '../../store/records/image-record.ts'
import type { Store } from '../../store/store.ts'
import { objectBytes } from '../send/tree-tar.ts'

export interface OrderedTar {
  /** Number of entries at the beginning that were asked for, or that stand before such. */
  readonly count: number
  /** Chunks are valid until the next is asked for. */
  tar(): Generator<Uint8Array>
}

/** Which of these paths the layer has an entry for. */
export function pathsIn(store: Store, layer: LayerRecord): ReadonlySet<string> {
  return new Set([...readRecipe(store.recipe(layer.recipe)).entries()].map(({ path }) => path))
}

/**
 * Puts entries to the front of a tar. Headers stay as they are, and objects are checked against their digests on the way:
 * CORRUPT.
 * @param paths as seen from the root, one char per byte; those that the layer does not have are passed over
 */
export function orderTar(store: Store, layer: LayerRecord, paths: readonly string[]): OrderedTar {
  const recipe = readRecipe(store.recipe(layer.recipe))
  const pieces = new Pieces(recipe)
  const { entries, starts } = placesIn(recipe)
  const { order, count } = prioritize(entries, paths)
  return {
    count,
    *tar() {
      const buffer = Buffer.allocUnsafe(bufferBytes)
      // Behind the last entry is the end of the tar, which stays there.
      for (const index of [...order, entries.length])
        yield* pieces.range(store, starts[index] ?? 0, starts[index + 1] ?? recipe.tarSize, buffer)
    },
  }
}

const bufferBytes = 1024 * 1024

/** Finds where each entry begins in the tar, with its headers, and where the last one ends. */
function placesIn(recipe: Recipe): { entries: Entry[]; starts: number[] } {
  const entries: Entry[] = []
  const starts = [0]
  let at = 0
  const parser = new TarParser(
    {
      framing: (bytes) => void (at += bytes.length),
      entry(entry, { stored }) {
        entries.push(entry)
        starts.push(at + stored + paddingOf(stored))
      },
      data: (bytes) => void (at += bytes.length),
      endEntry: () => {},
    },
    noTarLimits,
  )
  const nothing = new Uint8Array(bufferBytes)
  for (const piece of recipe.rebuild())
    if (piece instanceof Uint8Array) parser.write(piece)
    else
      for (let left = piece.length; left > 0; left -= nothing.length)
        parser.write(nothing.subarray(0, Math.min(left, nothing.length)))
  parser.end()
  return { entries, starts }
}

/** The parts of a tar, found by where they lie in it. */
class Pieces {
  readonly #pieces: (Uint8Array | ObjectPiece)[] = []
  readonly #starts: number[] = []

  constructor(recipe: Recipe) {
    let at = 0
    for (const piece of recipe.rebuild()) {
      this.#pieces.push(piece)
      this.#starts.push(at)
      at += piece.length
    }
  }

  /** Entries begin and end in framing, so objects are given out whole. */
  *range(store: Store, from: number, to: number, buffer: Buffer): Generator<Uint8Array> {
    for (let i = this.#indexOf(from); i < this.#pieces.length; i++) {
      const [piece, start] = [this.#pieces[i]!, this.#starts[i]!]
      if (start >= to) return
      if (piece instanceof Uint8Array) yield piece.subarray(Math.max(0, from - start), to - start)
      else yield* pieceBytes(store, piece, buffer)
    }
  }

  /** Index of the piece that `offset` lies in. */
  #indexOf(offset: number): number {
    let [low, high] = [0, this.#starts.length]
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#starts[middle]! <= offset) low = middle
      else high = middle
    }
    return low
  }
}

/** A sparse file's object is read once for each of its pieces, checked each time. */
function* pieceBytes(store: Store, { object, offset, length }: ObjectPiece, buffer: Buffer): Generator<Uint8Array> {
  using file = store.openObject(object)
  let at = 0
  for (const bytes of objectBytes(store, object, file.size, buffer)) {
    const part = bytes.subarray(Math.max(0, offset - at), Math.max(0, offset + length - at))
    if (part.length > 0) yield part
    at += bytes.length
  }
}
