import { type Digest, type RecipeDigest, type VerityDigest, parseVerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { visitImageObjects } from '../../formats/composefs/image-objects.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { visitObjects } from '../../recipe/recipe.ts'
import { isOpenElsewhere } from '../../linux/flock.ts'
import { DigestSet } from '../objects/digest-set.ts'
import type { Hold } from '../transaction/holds.ts'
import { LivingHolds } from '../transaction/living-holds.ts'
import { type DigestFolder, digestOfName, imagePath } from '../store-layout.ts'
import { mountIds, needsImage, readMountRecord } from '../mount-record.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import { listFolder } from '../store-files.ts'
import { readBlob, readImageFile, readRecord, recordsWith } from '../records/record-files.ts'
import { listRefs, readRef } from '../records/refs.ts'

/**
 * Marks: everything that a garbage collection must leave alone, with everything it leads to. The large parts, recipes and images, are
 * noted first and read by `walk`, once each, so that marking again costs little. What was not there may be the next
 * time: a transaction holds a recipe before it makes it, and an index names platforms that are pulled later.
 *
 * A missing thing needs nothing; what is there and cannot be read could need anything, so it ends the collection with
 * CORRUPT.
 */
export class Marks {
  readonly #records = new Set<Digest>()
  readonly #recipes = new Set<RecipeDigest>()
  readonly #images = new Set<VerityDigest>()
  readonly #blobs = new Set<Digest>()
  readonly #objects = new DigestSet()
  readonly #root: string
  readonly #holds: LivingHolds
  readonly #recipesRead = new Set<RecipeDigest>()
  readonly #imagesRead = new Set<VerityDigest>()
  /** Records of images on which changes were made. */
  readonly #changed = new Map<VerityDigest, readonly Digest[]>()
  #recipesToRead: RecipeDigest[] = []
  /** Images whose objects are to be marked; not those that only a record names, as it names the recipes as well. */
  #imagesToRead: VerityDigest[] = []

  constructor(root: string) {
    this.#root = root
    this.#holds = new LivingHolds(root)
  }

  has(kind: DigestFolder, digest: string): boolean {
    switch (kind) {
      case 'records':
        return this.#records.has(digest as Digest)
      case 'blobs':
        return this.#blobs.has(digest as Digest)
      case 'images':
        return this.#images.has(digest as VerityDigest)
      case 'layers':
        return this.#recipes.has(digest as RecipeDigest)
      case 'objects':
        return this.#objects.has(digest)
    }
  }

  /** Marks everything that names, mounts and living transactions need now. */
  markAll(): void {
    this.markRefs()
    this.markInUse()
  }

  markRefs(): void {
    const seen = new Set<Digest>()
    for (const name of listRefs(this.#root)) {
      const top = sure(() => readRef(this.#root, name))
      if (top !== undefined) this.#top(top, seen)
    }
    this.walk()
  }

  /** Marks what would have to stay without any name. */
  markInUse(): void {
    this.#markChanges()
    this.markHolds()
    for (const digest of this.#storedImages())
      if (!this.#images.has(digest) && isInUse(imagePath(this.#root, digest))) this.markImage(digest)
    this.walk()
  }

  /**
   * Marks images below changes that a writable mount left, which are worth nothing without; a commit needs its layers,
   * too.
   */
  #markChanges(): void {
    for (const id of mountIds(this.#root)) {
      const mount = sure(() => readMountRecord(this.#root, id))
      if (mount === undefined || !needsImage(mount)) continue
      const { image } = mount
      this.markImage(image)
      for (const manifest of this.#recordsBelow(image)) this.#record(manifest)
    }
  }

  #recordsBelow(image: VerityDigest): readonly Digest[] {
    const known = this.#changed.get(image)
    if (known !== undefined) return known
    const found = recordsWith(this.#root, image).map(({ manifest }) => manifest.digest)
    if (found.length > 0) this.#changed.set(image, found)
    return found
  }

  /** Marks what living transactions hold; what that leads to is marked by `walk`. */
  markHolds(): void {
    for (const hold of this.#holds.read()) this.#hold(hold)
  }

  /** Marks an image, and everything a mount of it opens when `walk` is called. */
  markImage(digest: VerityDigest): void {
    this.#images.add(digest)
    if (!this.#imagesRead.has(digest)) this.#imagesToRead.push(digest)
  }

  /** Marks one thing by its name, and what it leads to when `walk` is called. */
  mark(kind: 'records' | 'layers' | 'images', digest: string): void {
    if (kind === 'records') this.#record(digest as Digest)
    else if (kind === 'layers') this.#recipe(digest as RecipeDigest)
    else this.markImage(digest as VerityDigest)
  }

  /** Reads the recipes and images that were noted, one at a time. */
  walk(): void {
    for (let recipe = this.#recipesToRead.pop(); recipe !== undefined; recipe = this.#recipesToRead.pop())
      this.#readRecipe(recipe)
    for (let image = this.#imagesToRead.pop(); image !== undefined; image = this.#imagesToRead.pop())
      this.#readImage(image)
  }

  #hold(hold: Hold): void {
    switch (hold.kind) {
      case 'o':
        this.#objects.add(hold.digest)
        break
      case 'l':
        this.#recipe(hold.digest)
        break
      case 'i':
        this.markImage(hold.digest)
    }
  }

  #top(descriptor: Descriptor, seen: Set<Digest>): void {
    const { digest } = descriptor
    if (seen.has(digest)) return
    seen.add(digest)
    this.#blobs.add(digest)
    if (this.#record(digest)) return
    const document = sure(() => {
      const bytes = readBlob(this.#root, digest)
      return bytes && parseArtifact(bytes, { mediaType: descriptor.mediaType, digest })
    })
    if (document?.kind === 'index') for (const below of document.manifests) this.#top(below, seen)
  }

  /** Marks what a record names; false when there is none. */
  #record(digest: Digest): boolean {
    const record = sure(() => readRecord(this.#root, digest))
    if (record === undefined) return false
    this.#records.add(digest)
    this.#blobs.add(digest).add(record.config.digest)
    for (const image of Object.values(record.images)) this.#images.add(image)
    for (const { recipe } of record.layers) this.#recipe(recipe)
    return true
  }

  #recipe(digest: RecipeDigest): void {
    this.#recipes.add(digest)
    if (!this.#recipesRead.has(digest)) this.#recipesToRead.push(digest)
  }

  #readRecipe(digest: RecipeDigest): void {
    if (this.#recipesRead.has(digest)) return
    sure(() => {
      const bytes = readRecipeFile(this.#root, digest)
      if (bytes === undefined) return
      visitObjects(bytes, (recipe, at) => void this.#objects.addBytes(recipe, at))
      this.#recipesRead.add(digest)
    })
  }

  #readImage(digest: VerityDigest): void {
    if (this.#imagesRead.has(digest)) return
    sure(() => {
      const bytes = readImageFile(this.#root, digest)
      if (bytes === undefined) return
      visitImageObjects(bytes, (object) => void this.#objects.add(object))
      this.#imagesRead.add(digest)
    })
  }

  #storedImages(): VerityDigest[] {
    const digests = listFolder(`${this.#root}/images`).map((name) => digestOfName('images', name))
    return digests.filter((digest) => digest !== undefined).map(parseVerityDigest)
  }
}

/**
 * Whether somebody has a file open. A mount may have been made in another mount namespace and outlived every process we
 * know of: only the lease tells.
 */
export function isInUse(path: string): boolean {
  try {
    return isOpenElsewhere(pathFromUtf8(path))
  } catch (error) {
    if (error instanceof OnefoldError && error.code === 'NOT_FOUND') return false
    // Somebody else's file, or a file system without leases: nobody can tell.
    if (error instanceof OnefoldError) return true
    throw error
  }
}

function sure<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof OnefoldError) || cause.code === 'IO' || cause.code === 'DENIED') throw cause
    throw new OnefoldError('CORRUPT', `Cannot tell what is still needed: ${cause.message}`, {
      cause,
      hint: cause.hint ?? 'onefold fsck tells what is damaged; pull that image again, or remove it.',
    })
  }
}
