import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { AbortOptions } from '../abort.ts'
import type { Digest, RecipeDigest, VerityDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { readRecipe } from '../recipe/recipe.ts'
import type { FsckOptions, FsckReport } from './fsck/fsck-report.ts'
import type { Mender } from './fsck/mender.ts'
import type { GcOptions, GcReport } from './gc/collect-garbage.ts'
import type { CompressedLayers } from './index/compressed-layers.ts'
import type { Contents } from './index/held-contents.ts'
import type { LayerIndex } from './index/layer-index.ts'
import { Missing } from './objects/missing-objects.ts'
import { type ByteRange, type OpenObject, openObject, readObject } from './objects/object-files.ts'
import type { WideDigests } from './objects/wide-digests.ts'
import { rebuildTar } from './recipes/rebuild-tar.ts'
import { readRecipeFile } from './recipes/recipe-files.ts'
import { type FindOptions, type ListedImage, type StoredImage, findImage, listImages } from './records/find-image.ts'
import type { ImageRecord } from './records/image-record.ts'
import { listFolder } from './store-files.ts'
import { readBlob, readImageFile, readRecord, recordsWith } from './records/record-files.ts'
import { type RefCondition, encodeRef, listRefs, readRef } from './records/refs.ts'
import type { Sealed } from './seal/seal-files.ts'
import { openFolder, requireOwn } from './store-folder.ts'
import { blobPath, defaultRoot, imagePath, recipePath } from './store-layout.ts'
import { type VerityPolicy, verityPolicy } from './store-settings.ts'
import type { Transaction } from './transaction/transaction.ts'
import type { DiskUse } from './usage/disk-usage.ts'

export type { Affected, CheckEvent, Damage, DamageKind, FsckOptions, FsckReport, Sample } from './fsck/fsck-report.ts'
export type { CheckResult } from './fsck/check-store.ts'
export type { Inventory } from './fsck/inventory.ts'
export type { Mender } from './fsck/mender.ts'
export type { GcOptions, GcReport } from './gc/collect-garbage.ts'
export type { CompressedLayers } from './index/compressed-layers.ts'
export type { LayerIndex, LayerKey } from './index/layer-index.ts'
export type { Missing } from './objects/missing-objects.ts'
export type { OpenObject } from './objects/object-files.ts'
export type { WideDigests } from './objects/wide-digests.ts'
export type { FindOptions, ListedImage, StoredImage } from './records/find-image.ts'
export type { Sealed } from './seal/seal-files.ts'
export type { VerityPolicy } from './store-settings.ts'
export type { DiskUse, ImageUse, StoreUse } from './usage/disk-usage.ts'

export interface OpenOptions {
  /** Whether to make the store when there is none; default true. Commands that only read say false. */
  readonly create?: boolean | undefined
}

/** Opens the store at `root`; without one, /var/lib/onefold for root and $XDG_DATA_HOME/onefold for others. */
export async function openStore(root: string = defaultRoot(), options: OpenOptions = {}): Promise<Store> {
  return new Store(openFolder(root, options.create ?? true))
}

/**
 * Opens a store that may lack what every store has: that is made again. NOT_FOUND where there is nothing of a store.
 */
export async function openDamagedStore(root: string = defaultRoot()): Promise<Store> {
  const { mendFrame } = await import('./fsck/mend-frame.ts')
  mendFrame(resolve(root))
  return await openStore(root, { create: false })
}

/**
 * A store of images. Reading takes no lock and never waits; what is read is checked against its name, but for objects,
 * which fsck checks.
 */
export class Store implements AsyncDisposable {
  /** Absolute path. */
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  /** Begins to add to the store; takes up what a killed process had finished. */
  async begin(): Promise<Transaction> {
    requireOwn(this.root)
    const { beginTransaction } = await import('./transaction/begin-transaction.ts')
    return await beginTransaction(this.root)
  }

  /**
   * Finds an image by name, digest or at least 12 digits of one: NOT_FOUND when there is none, BAD_NAME for several.
   */
  find(name: string, options?: FindOptions): StoredImage {
    return findImage(this.root, name, options)
  }

  /** Lists every name with every image it leads to. */
  list(): ListedImage[] {
    return listImages(this.root)
  }

  /** The descriptor that a name stands for; undefined when there is no such name. */
  ref(name: string): Descriptor | undefined {
    return readRef(this.root, name)
  }

  /** All names, in code unit order. */
  refs(): string[] {
    return listRefs(this.root)
  }

  /** Throws BAD_NAME for what no image can be called. */
  checkName(name: string): void {
    encodeRef(name)
  }

  /** Gives what `image` stands for another name, durably; all platforms of an index come along. */
  async tag(
    image: string,
    name: string,
    options?: AbortOptions & { readonly condition?: RefCondition },
  ): Promise<void> {
    requireOwn(this.root)
    const { tagImage } = await import('./records/tagging.ts')
    await tagImage(this.root, image, name, options)
  }

  /** Takes a name away, durably, and returns it; what only that name needed goes with the next gc. */
  async remove(image: string, options?: AbortOptions): Promise<string> {
    requireOwn(this.root)
    const { removeImage } = await import('./records/tagging.ts')
    return await removeImage(this.root, image, options)
  }

  /** Measures what the store and each of its images take on the disk, and what removing them would free. */
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

  /** The part of a repair that is neither checking nor pulling. */
  async mender(): Promise<Mender> {
    const { Mender } = await import('./fsck/mender.ts')
    return new Mender(this.root)
  }

  /** The record of the image with this manifest. */
  record(manifest: Digest): ImageRecord | undefined {
    return readRecord(this.root, manifest)
  }

  /** Records of all images that are this composefs image: with other configs, say. They need not have a name. */
  recordsWith(image: VerityDigest): ImageRecord[] {
    return recordsWith(this.root, image)
  }

  /** The bytes of a manifest, config or index, as served. */
  blob(digest: Digest): Uint8Array {
    return readBlob(this.root, digest) ?? absent(`blob ${digest}`)
  }

  hasBlob(digest: Digest): boolean {
    return existsSync(blobPath(this.root, digest))
  }

  /** The recipe of a layer, uncompressed. */
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

  /** The table of how layers came out when they were compressed here before. */
  async compressedLayers(): Promise<CompressedLayers> {
    const { openCompressed } = await import('./index/compressed-layers.ts')
    return await openCompressed(this.root)
  }

  /** The table of which image knows a layer. */
  async layerIndex(): Promise<LayerIndex> {
    const { openIndex } = await import('./index/layer-index.ts')
    return await openIndex(this.root)
  }

  /** The table of what the store holds, by the names that tables of contents use. */
  async contents(): Promise<Contents> {
    const { openContents } = await import('./index/held-contents.ts')
    return await openContents(this.root)
  }

  /** Path that the composefs image has, or would have. */
  imagePath(digest: VerityDigest): string {
    return imagePath(this.root, digest)
  }

  /** The composefs image, not checked against its name; undefined when it has to be made again from the recipes. */
  image(digest: VerityDigest): Uint8Array | undefined {
    return readImageFile(this.root, digest)
  }

  /** Path of the folder that overlayfs takes as data directory. */
  get objectsPath(): string {
    return `${this.root}/objects`
  }

  /** Whether the kernel enforces the digest of the composefs image; false where there is no such file. */
  async isSealed(image: VerityDigest): Promise<boolean> {
    const { isSealed } = await import('./seal/seal-files.ts')
    return isSealed(imagePath(this.root, image))
  }

  /** Whether there are no objects at all, so that nothing need be looked for. */
  get isEmpty(): boolean {
    return listFolder(this.objectsPath).length === 0
  }

  /** The objects that are known to be missing: read once, when they are first asked for. */
  missing(): Missing {
    return new Missing(this.root)
  }

  /** The sha512 digests of objects, remembered in the store. */
  async wideDigests(objects: ReadonlySet<VerityDigest>, options?: AbortOptions): Promise<WideDigests> {
    const { wideDigests } = await import('./objects/wide-digests.ts')
    return await wideDigests(this.root, objects, { ...options, places: [this.root] })
  }

  /** An object open for reading. */
  openObject(digest: VerityDigest): OpenObject {
    return openObject(this.root, digest)
  }

  /** The bytes of an object, in chunks of up to 1 MiB that belong to the reader. */
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
