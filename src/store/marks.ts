import { existsSync } from 'node:fs'
import { type Digest, type RecipeDigest, type VerityDigest, parseVerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from '../formats/entry.ts'
import { readErofs } from '../formats/erofs/tree.ts'
import { readJson } from '../formats/oci/json.ts'
import { parseArtifact } from '../formats/oci/manifest.ts'
import { readRecipe } from '../formats/tar/recipe.ts'
import { type Directory, inodeOf, isDirectory } from '../formats/tree.ts'
import { isAlive, listOwned } from './dead.ts'
import { readWhole } from './files.ts'
import { type Hold, readHolds } from './holds.ts'
import { readRecipeFile } from './recipes.ts'
import { listFolders, readBlob, readImageFile, readRecord } from './records.ts'
import { listRefs, readRef } from './refs.ts'

/**
 * What a garbage collection must leave alone. Everything a digest leads to is marked with it, once, so that marking
 * again costs only what is new.
 *
 * What is missing needs nothing; what is there and cannot be read could need anything, so it ends the collection with
 * CORRUPT.
 */
export class Marks {
  readonly records = new Set<Digest>()
  readonly recipes = new Set<RecipeDigest>()
  readonly images = new Set<VerityDigest>()
  readonly blobs = new Set<Digest>()
  readonly objects = new Set<VerityDigest>()
  readonly #root: string
  /** Where to look: the store, and what has been put aside. */
  readonly #places: string[]
  readonly #walkedImages = new Set<VerityDigest>()

  constructor(root: string) {
    this.#root = root
    this.#places = [root]
  }

  /** From now on also in things put aside. */
  lookIn(aside: string): void {
    if (!this.#places.includes(aside)) this.#places.push(aside)
  }

  markRefs(): void {
    for (const name of listRefs(this.#root)) {
      const top = sure(() => readRef(this.#root, name))
      if (top !== undefined) this.#top(top)
    }
  }

  /** Changes that a writable mount left are worth nothing without the image below them. */
  markMounts(): void {
    const folder = `${this.#root}/mounts`
    if (!existsSync(folder)) return
    for (const id of listFolders(folder)) {
      const image = sure(() => imageOfChanges(`${folder}/${id}/mount.json`))
      if (image !== undefined) this.markImage(image)
    }
  }

  /** Of all living transactions. */
  markHolds(): void {
    for (const owner of listOwned(this.#root)) {
      if (!isAlive(owner)) continue
      for (const hold of readHolds(owner)) this.#hold(hold)
    }
  }

  /** With everything a mount of it opens. */
  markImage(digest: VerityDigest): void {
    this.images.add(digest)
    if (this.#walkedImages.has(digest)) return
    this.#walkedImages.add(digest)
    const bytes = this.#find((place) => readImageFile(place, digest))
    if (bytes !== undefined) for (const object of objectsOf(sure(() => readErofs(bytes)))) this.objects.add(object)
  }

  #hold(hold: Hold): void {
    switch (hold.kind) {
      case 'o':
        this.objects.add(hold.digest)
        break
      case 'l':
        this.#recipe(hold.digest)
        break
      case 'i':
        this.markImage(hold.digest)
    }
  }

  #top(descriptor: Descriptor): void {
    const { digest } = descriptor
    if (this.blobs.has(digest)) return
    this.blobs.add(digest)
    if (this.#record(digest)) return
    const bytes = this.#find((place) => readBlob(place, digest))
    const document = bytes && sure(() => parseArtifact(bytes, { mediaType: descriptor.mediaType, digest }))
    if (document?.kind === 'index') for (const below of document.manifests) this.#top(below)
  }

  /** False when there is none. */
  #record(digest: Digest): boolean {
    const record = this.#find((place) => readRecord(place, digest))
    if (record === undefined) return false
    this.records.add(digest)
    this.blobs.add(digest).add(record.config.digest)
    for (const image of Object.values(record.images)) this.images.add(image)
    for (const { recipe } of record.layers) this.#recipe(recipe)
    return true
  }

  #recipe(digest: RecipeDigest): void {
    if (this.recipes.has(digest)) return
    this.recipes.add(digest)
    const bytes = this.#find((place) => readRecipeFile(place, digest))
    if (bytes === undefined) return
    for (const object of sure(() => readRecipe(bytes)).objects()) this.objects.add(object.digest)
  }

  #find<T>(read: (place: string) => T | undefined): T | undefined {
    for (const place of this.#places) {
      const found = sure(() => read(place))
      if (found !== undefined) return found
    }
    return undefined
  }
}

function sure<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof OnefoldError) || cause.code === 'IO' || cause.code === 'DENIED') throw cause
    throw new OnefoldError('CORRUPT', `Cannot tell what is still needed: ${cause.message}`, {
      cause,
      hint: 'onefold fsck tells what is damaged; pull that image again, or remove it.',
    })
  }
}

/** mount.json is written by src/mount; all that counts here is which image it stands on, and whether there are changes. */
function imageOfChanges(path: string): VerityDigest | undefined {
  const what = `"${path}"`
  const bytes = readWhole(path, what, 1024 * 1024)
  if (bytes === undefined) return undefined
  const fields = readJson(bytes, what)
  return fields.has('changes') ? parseVerityDigest(fields.text('image')) : undefined
}

function* objectsOf(root: Directory): Generator<VerityDigest> {
  const pending = [root]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const child of directory.children.values()) {
      const inode = inodeOf(child)
      if (isDirectory(inode)) pending.push(inode)
      else if (inode.content.kind === 'object') yield inode.content.digest
    }
  }
}
