import type { Stats } from 'node:fs'
import { DiskReader, bytesCovered } from '../usage/disk-reader.ts'
import type { DigestFolder } from '../store-layout.ts'

interface Sum {
  count: number
  bytes: number
}

/** Counts what a collection deletes, and what the file system gets back for it. */
export class Freed {
  readonly #disk: DiskReader
  readonly #sums: Record<DigestFolder, Sum> = {
    records: { count: 0, bytes: 0 },
    images: { count: 0, bytes: 0 },
    layers: { count: 0, bytes: 0 },
    blobs: { count: 0, bytes: 0 },
    objects: { count: 0, bytes: 0 },
  }
  #own = 0

  constructor(root: string) {
    this.#disk = new DiskReader(root)
  }

  /** Before it is deleted. */
  add(kind: DigestFolder, path: string, stat: Stats): void {
    const sum = this.#sums[kind]
    sum.count++
    sum.bytes += stat.size
    this.addOther(path, stat)
  }

  addOther(path: string, stat: Stats): void {
    // Under another name it stays.
    if (stat.isFile() && stat.nlink > 1) return
    this.#own += this.#disk.own(path, stat)
  }

  get report(): { records: Sum; images: Sum; recipes: Sum; blobs: Sum; objects: Sum; bytes: number; freed: number } {
    const { records, images, layers, blobs, objects } = this.#sums
    const bytes = Object.values(this.#sums).reduce((sum, each) => sum + each.bytes, 0)
    return { records, images, recipes: layers, blobs, objects, bytes, freed: this.#own + this.#sharedFreed() }
  }

  /**
   * Blocks that two deleted files shared are taken as theirs alone; those of which one user was deleted are still used
   * by another one. Never too much, unless a third file outside of the garbage shares with two in it.
   */
  #sharedFreed(): number {
    return bytesCovered(this.#disk.shared, 2)
  }
}
