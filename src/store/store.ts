import { existsSync } from 'node:fs'
import type { AbortOptions } from '../abort.ts'
import type { Digest, RecipeDigest, VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { readRecipe } from '../recipe/recipe.ts'
import type { CompressedLayers } from './transaction/compressed-layers.ts'
import { type FindOptions, type ListedImage, type StoredImage, findImage, listImages } from './records/find-image.ts'
import { openFolder, requireOwn } from './store-folder.ts'
import type { FsckOptions, FsckReport } from './fsck/fsck-report.ts'
import type { DiskUse } from './usage/disk-usage.ts'
import type { GcOptions, GcReport } from './gc/collect-garbage.ts'
import { defaultRoot, imagePath, recipePath } from './store-layout.ts'
import { type ByteRange, type OpenObject, openObject, readObject } from './objects/object-files.ts'
import { rebuildTar } from './recipes/rebuild-tar.ts'
import { readRecipeFile } from './recipes/recipe-files.ts'
import { readBlob, readImageFile, readRecord, recordsWith } from './records/record-files.ts'
import type { ImageRecord } from './records/image-record.ts'
import { listRefs, readRef } from './records/refs.ts'
import { type VerityPolicy, verityPolicy } from './store-settings.ts'
import { removeImage, tagImage } from './records/tagging.ts'
import { type RefCondition, type Transaction, beginTransaction } from './transaction/transaction.ts'
import type { Sealed } from './seal/seal-files.ts'

export type { FindOptions, ListedImage, StoredImage } from './records/find-image.ts'
export type { CheckEvent, Damage, DamageKind, FsckOptions, FsckReport } from './fsck/fsck-report.ts'
export type { DiskUse, ImageUse, StoreUse } from './usage/disk-usage.ts'
export type { GcOptions, GcReport } from './gc/collect-garbage.ts'
export type { VerityPolicy } from './store-settings.ts'
export type { Sealed } from './seal/seal-files.ts'

export interface OpenOptions {
  /** Make the store when there is none; default true. Commands that only read say false. */
  readonly create?: boolean | undefined
}

/** Opens the store at `root`; without one, /var/lib/onefold for root and $XDG_DATA_HOME/onefold for others. */
export async function openStore(root: string = defaultRoot(), options: OpenOptions = {}): Promise<Store> {
  return new Store(openFolder(root, options.create ?? true))
}

/**
 * A store of images. Reading takes no lock and never waits; what is read is checked against its name, but for objects,
 * which fsck checks.
 */
export class Store implements AsyncDisposable {
  /** Absolute. */
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  /** Starts to add to the store; takes up what a killed process had finished. */
  async begin(): Promise<Transaction> {
    requireOwn(this.root)
    return await beginTransaction(this.root)
  }

  /** By name, digest or at least 12 digits of one; NOT_FOUND when there is none, BAD_NAME when there are several. */
  find(name: string, options?: FindOptions): StoredImage {
    return findImage(this.root, name, options)
  }

  /** Every name with every image it leads to. */
  list(): ListedImage[] {
    return listImages(this.root)
  }

  ref(name: string): Descriptor | undefined {
    return readRef(this.root, name)
  }

  /** In code unit order. */
  refs(): string[] {
    return listRefs(this.root)
  }

  /** Gives what `image` stands for another name, durably; all platforms of an index come along. */
  async tag(
    image: string,
    name: string,
    options?: AbortOptions & { readonly condition?: RefCondition },
  ): Promise<void> {
    requireOwn(this.root)
    await tagImage(this.root, image, name, options)
  }

  /** Takes a name away, durably, and returns it; what only that name needed goes with the next gc. */
  async remove(image: string, options?: AbortOptions): Promise<string> {
    requireOwn(this.root)
    return await removeImage(this.root, image, options)
  }

  /** What the store and each of its images take on the disk, and what removing them would free. */
  async du(): Promise<DiskUse> {
    const { measureUse } = await import('./usage/disk-usage.ts')
    return measureUse(this.root)
  }

  /** Deletes what no name, mount or living transaction needs. BUSY when another collection is at it. */
  async gc(options?: GcOptions): Promise<GcReport> {
    requireOwn(this.root)
    const { collectGarbage } = await import('./gc/collect-garbage.ts')
    return await collectGarbage(this.root, options)
  }

  /**
   * Compares everything with its name, and moves damaged files into quarantine; with `dryRun` it changes nothing. Damage
   * is in the report, not an error.
   */
  async fsck(options?: FsckOptions): Promise<FsckReport> {
    const { checkStore } = await import('./fsck/check-store.ts')
    return await checkStore(this.root, options)
  }

  /** Whether objects and images are sealed with fs-verity: see `setVerity()`. */
  get verity(): VerityPolicy {
    return verityPolicy(this.root)
  }

  /**
   * Says whether files are sealed with fs-verity from now on (`auto`: where the file system can), and seals those that
   * are there. UNSUPPORTED, with nothing changed, for `require` on a file system that cannot.
   */
  async setVerity(policy: VerityPolicy, options?: AbortOptions): Promise<Sealed> {
    requireOwn(this.root)
    const { setVerityPolicy } = await import('./seal/seal-store.ts')
    return await setVerityPolicy(this.root, policy, options)
  }

  record(manifest: Digest): ImageRecord | undefined {
    return readRecord(this.root, manifest)
  }

  /** Of all images that are this composefs image: with other configs, say. They need not have a name. */
  recordsWith(image: VerityDigest): ImageRecord[] {
    return recordsWith(this.root, image)
  }

  /** A manifest, config or index, bytes as served. */
  blob(digest: Digest): Uint8Array {
    return readBlob(this.root, digest) ?? absent(`blob ${digest}`)
  }

  /** Uncompressed. */
  recipe(digest: RecipeDigest): Uint8Array {
    return readRecipeFile(this.root, digest) ?? absent(`recipe ${digest}`)
  }

  hasRecipe(digest: RecipeDigest): boolean {
    return existsSync(recipePath(this.root, digest))
  }

  /** The tar of a layer, bit for bit; chunks are valid until the next is asked for. */
  rebuildTar(digest: RecipeDigest): Generator<Uint8Array> {
    return rebuildTar(this.root, readRecipe(this.recipe(digest)))
  }

  /** What layers came out as when they were compressed here before. */
  async compressedLayers(): Promise<CompressedLayers> {
    const { openCompressed } = await import('./transaction/compressed-layers.ts')
    return await openCompressed(this.root)
  }

  /** Where the composefs image is, or would be. */
  imagePath(digest: VerityDigest): string {
    return imagePath(this.root, digest)
  }

  /** The composefs image, not checked against its name; undefined when it has to be made again from the recipes. */
  image(digest: VerityDigest): Uint8Array | undefined {
    return readImageFile(this.root, digest)
  }

  /** What overlayfs takes as data directory. */
  get objectsPath(): string {
    return `${this.root}/objects`
  }

  openObject(digest: VerityDigest): OpenObject {
    return openObject(this.root, digest)
  }

  /** In chunks of up to 1 MiB that belong to the reader. */
  readObject(digest: VerityDigest, range?: ByteRange): AsyncIterable<Uint8Array> {
    return readObject(this.root, digest, range)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

function absent(what: string): never {
  throw new OnefoldError('NOT_FOUND', `Cannot read ${what}: the store has none`, {
    hint: 'onefold fsck tells which images are damaged.',
  })
}
