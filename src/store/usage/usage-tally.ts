import type { Stats } from 'node:fs'
import type { Digest, RecipeDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { visitObjects } from '../../recipe/recipe.ts'
import { isAlive, listOwned } from '../transaction/dead-folders.ts'
import { DigestSet } from '../objects/digest-set.ts'
import { DiskReader, bytesCovered, visitFiles } from './disk-reader.ts'
import {
  type DigestFolder,
  blobPath,
  digestOfName,
  imagePath,
  recipePath,
  recordPath,
  tmpFolder,
} from '../store-layout.ts'
import type { Marks } from '../gc/marks.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'

const nobody = -1
const several = -2

/** A file of the store that images may need. */
interface Item {
  readonly full: number
  /** Bytes that deleting it would free. */
  readonly own: number
  /** The only image that needs it, by number; or nobody, or several. */
  image: number
  /** The only name whose removal would leave it without use. */
  name: number
}

interface Sums {
  /** Bytes of everything an image needs, and of what no other image does. */
  total: number
  unique: number
}

/** Adds up what the files of a store take, and which image and which name is the only one to need each of them. */
export class Tally {
  readonly #root: string
  readonly #inUse: Marks
  readonly #disk: DiskReader
  readonly #objects = new DigestSet()
  readonly #objectItems: Item[] = []
  /** All other files by their paths. */
  readonly #items = new Map<string, Item>()
  /** Inodes with several names that have been counted. */
  readonly #linked = new Set<number>()
  readonly #recipes = new Map<RecipeDigest, Uint32Array>()
  readonly #images = new Map<Digest, Sums>()
  readonly #names = new Map<string, number>()
  #dead = 0

  /** `inUse` has what would stay without any name. */
  constructor(root: string, inUse: Marks) {
    this.#root = root
    this.#inUse = inUse
    this.#disk = new DiskReader(root)
  }

  /** Bytes of a file or folder of the store and everything in it; blocks that several share once. */
  measure(name: string): number {
    const sharedBefore = this.#disk.shared.length
    let bytes = 0
    const kind = kindsOfItems.find((each) => each === name)
    visitFiles(`${this.#root}/${name}`, (path, stat) => {
      if (stat.nlink > 1 && stat.isFile()) {
        if (this.#linked.has(stat.ino)) return
        this.#linked.add(stat.ino)
      }
      const own = this.#disk.own(path, stat)
      bytes += own
      if (kind !== undefined && stat.isFile()) this.#note(kind, path, stat, own)
    })
    if (name === tmpFolder) this.#dead = this.#measureDead()
    return bytes + bytesCovered(this.#disk.shared.slice(sharedBefore), 1)
  }

  /** Counts what an image needs; `names` lead to it. */
  need(record: ImageRecord, names: readonly string[], tops: readonly Digest[]): void {
    const { digest } = record.manifest
    const image = this.#images.size
    const sums = { total: 0, unique: 0 }
    this.#images.set(digest, sums)
    const [first = '', ...others] = names
    const name = others.length > 0 ? several : this.#numberOf(first)
    const seen = new Set<Item>()
    for (const item of this.#itemsOf(record, tops)) {
      if (seen.has(item)) continue
      seen.add(item)
      sums.total += item.full
      item.image = item.image === nobody ? image : several
      if (item.name !== name) item.name = item.name === nobody ? name : several
    }
  }

  /** The sums, after all images have said what they need. */
  sums(): UseSums {
    const images = [...this.#images.values()]
    const names = Array.from(this.#names, () => 0)
    let garbage = this.#dead
    for (const item of [...this.#objectItems, ...this.#items.values()]) {
      const only = images[item.image]
      if (only !== undefined) only.unique += item.full
      if (item.name >= 0) names[item.name] = (names[item.name] ?? 0) + item.own
      if (item.image === nobody) garbage += item.own
    }
    return { images: this.#images, names: new Map([...this.#names].map(([name, n]) => [name, names[n] ?? 0])), garbage }
  }

  #note(kind: DigestFolder, path: string, stat: Stats, own: number): void {
    const digest = digestOfName(kind, path.slice(this.#root.length + kind.length + 2))
    if (digest === undefined) return
    const stays = stat.nlink > 1 || this.#inUse.has(kind, digest)
    const item = { full: this.#disk.full(stat), own: stays ? 0 : own, image: nobody, name: nobody }
    if (kind === 'objects') this.#objectItems[this.#objects.add(digest)] = item
    else this.#items.set(path, item)
  }

  #numberOf(name: string): number {
    const number = this.#names.get(name) ?? this.#names.size
    this.#names.set(name, number)
    return number
  }

  *#itemsOf(record: ImageRecord, tops: readonly Digest[]): Generator<Item> {
    const paths = [
      recordPath(this.#root, record.manifest.digest),
      ...[record.manifest.digest, record.config.digest, ...tops].map((digest) => blobPath(this.#root, digest)),
      ...Object.values(record.images).map((digest) => imagePath(this.#root, digest)),
      ...record.layers.map(({ recipe }) => recipePath(this.#root, recipe)),
    ]
    for (const path of paths) {
      const item = this.#items.get(path)
      if (item !== undefined) yield item
    }
    for (const { recipe } of record.layers)
      for (const number of this.#objectsOf(recipe)) {
        const item = this.#objectItems[number]
        if (item !== undefined) yield item
      }
  }

  /**
   * Numbers of the objects of a recipe that are in the store. What is damaged needs nothing here; fsck says what and
   * why.
   */
  #objectsOf(recipe: RecipeDigest): Uint32Array {
    const known = this.#recipes.get(recipe)
    if (known !== undefined) return known
    const numbers: number[] = []
    try {
      const bytes = readRecipeFile(this.#root, recipe)
      if (bytes !== undefined)
        visitObjects(bytes, (from, at) => {
          const number = this.#objects.indexOfBytes(from, at)
          if (number >= 0) numbers.push(number)
        })
    } catch (error) {
      if (!(error instanceof OnefoldError) || error.code === 'IO' || error.code === 'DENIED') throw error
    }
    const found = Uint32Array.from(numbers)
    this.#recipes.set(recipe, found)
    return found
  }

  /** Measures what the dead have left in `tmp/`: a collection takes it away. */
  #measureDead(): number {
    let bytes = 0
    for (const owner of listOwned(this.#root))
      if (!isAlive(owner)) visitFiles(owner, (path, stat) => (bytes += this.#disk.own(path, stat)))
    return bytes
  }
}

const kindsOfItems: readonly DigestFolder[] = ['objects', 'layers', 'images', 'blobs', 'records']

export interface UseSums {
  readonly images: ReadonlyMap<Digest, Sums>
  /** Bytes that removing a name would free. */
  readonly names: ReadonlyMap<string, number>
  /** Bytes that a collection would free. */
  readonly garbage: number
}
