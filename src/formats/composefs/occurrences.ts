import { type FlatTree, kind, field, inodeWords } from '../flat/flat-tree.ts'
import { contentAt } from '../flat/flatten.ts'
import { DigestTable } from './digest-table.ts'
import { placeOf } from './external-content.ts'
import { isExternal, placeLength } from './flat-external.ts'
import type { ImageXattr } from './image-xattr.ts'

/**
 * Tells which of the attributes that stand behind a marker occur twice. Inodes with the same one are known by the first of them,
 * so that nothing is kept for the many that have one of their own.
 */
export class Occurrences {
  /** Per inode: the first with the same attribute; -1 for none. */
  readonly #first: Int32Array
  /** The first inodes that others follow, with which of the shared attributes they have. */
  readonly #slots: Int32Array
  readonly #repeated: readonly number[]
  readonly #shared: ImageXattr[] = []

  /** The occurrences of metacopies, which are alike when their digests are, or when both have none. */
  static ofDigests(tree: FlatTree, ids: Uint32Array): Occurrences {
    const table = new DigestTable(tree, ids)
    let unknown = -1
    return Occurrences.#collect(tree, ids, (number, inode) => {
      if (tree.words[inode * inodeWords + field.kind] !== kind.unknown) return table.add(number)
      return unknown < 0 ? (unknown = number) : unknown
    })
  }

  /** The occurrences of redirects, which are alike when their paths are. */
  static ofPlaces(tree: FlatTree, ids: Uint32Array): Occurrences {
    const numbers = new Map<string, number>()
    return Occurrences.#collect(tree, ids, (number, inode) =>
      placeLength(tree, inode) === 0 ? -1 : numbers.getOrInsert(placeOf(contentAt(tree, inode)), number),
    )
  }

  static #collect(tree: FlatTree, ids: Uint32Array, firstOf: (number: number, inode: number) => number): Occurrences {
    const first = new Int32Array(ids.length).fill(-1)
    const slots = new Int32Array(ids.length).fill(-1)
    const repeated: number[] = []
    for (let number = 0; number < ids.length; number++) {
      const inode = ids[number] as number
      if (!isExternal(tree, inode)) continue
      const found = firstOf(number, inode)
      first[number] = found
      if (found < 0 || found === number || slots[found] !== -1) continue
      slots[found] = repeated.length
      repeated.push(found)
    }
    return new Occurrences(first, slots, repeated)
  }

  private constructor(first: Int32Array, slots: Int32Array, repeated: readonly number[]) {
    this.#first = first
    this.#slots = slots
    this.#repeated = repeated
  }

  /** The occurrences of another attribute, which is repeated just where this one is. */
  copy(): Occurrences {
    return new Occurrences(this.#first, this.#slots, this.#repeated)
  }

  /** Makes a shared attribute of each one that occurs twice. */
  share(make: (first: number) => ImageXattr): readonly ImageXattr[] {
    for (const first of this.#repeated) this.#shared.push(make(first))
    return this.#shared
  }

  shared(number: number): ImageXattr | undefined {
    const first = this.#first[number] as number
    const slot = first < 0 ? -1 : (this.#slots[first] as number)
    return slot < 0 ? undefined : this.#shared[slot]
  }
}
