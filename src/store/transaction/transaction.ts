import { closeSync, existsSync, openSync } from 'node:fs'
import type { AbortOptions } from '../../abort.ts'
import { type Digest, type RecipeDigest, type VerityDigest, algorithmOf, checkDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { syncfsAsync } from '../../linux/file.ts'
import type { Recipe } from '../../recipe/recipe.ts'
import { checkHolds, nameEverything, readGeneration } from './commit-transaction.ts'
import { removeOwned } from './dead-folders.ts'
import { makeFolder, writeFile } from '../store-files.ts'
import { blobPath, imagePath, notePath, recipePath, recordPath } from '../store-layout.ts'
import { type LayerIndex, type LayerKey, isWanted, openIndex } from '../index/layer-index.ts'
import { lockRefs, lockStore } from '../store-lock.ts'
import type { WideDigests } from '../objects/wide-digests.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import { rebuildTar } from '../recipes/rebuild-tar.ts'
import { type ImageRecord, type LayerRecord, formatLayer, formatRecord } from '../records/image-record.ts'
import { type RefCondition, checkCondition, encodeRef, formatRef, readRef } from '../records/refs.ts'
import { StagedImage } from './staged-image.ts'
import { Staging, type StagingPlace } from './staging.ts'
import { sealStaged } from '../seal/seal-files.ts'
import { noteUnnamed } from './unnamed.ts'
import { Writeback } from './writeback.ts'

/**
 * Everything one pull adds to a store. Nothing of it is visible before commit(), and all of it is durable when that
 * returns. Disposing of a transaction that was not committed leaves nothing behind; the death of its process leaves
 * what the next transaction takes up.
 *
 * Alive is who holds the flock on `tmp/<id>/lock`. Process ids say nothing: they are reused, and differ by namespace.
 */
export class Transaction implements AsyncDisposable {
  /** Root of the store. */
  readonly #root: string
  readonly #folder: string
  readonly #lock: number
  /** Descriptor of the root, opened at the start: syncfs(2) reports the write errors that happened since. */
  readonly #rootFd: number
  readonly #generation: string
  readonly #staging: Staging
  readonly #layers: LayerRecord[] = []
  readonly #records: ImageRecord[] = []
  readonly #known = new Set<Digest>()
  readonly #refs = new Map<string, { readonly descriptor: Descriptor; readonly condition: RefCondition }>()
  #writeback: Writeback | undefined
  #index: LayerIndex | undefined
  #images = 0
  #isOver = false

  constructor(root: string, folder: string, lock: number) {
    this.#root = root
    this.#folder = folder
    this.#lock = lock
    this.#rootFd = openSync(root, 'r')
    this.#generation = readGeneration(root)
    this.#staging = this.staging('main')
  }

  /** A place for another thread, which stages with a Staging of its own. Every lane needs another name. */
  place(lane: string): StagingPlace {
    return { root: this.#root, folder: this.#folder, lane }
  }

  /** Stages in this thread. */
  staging(lane: string): Staging {
    return new Staging(this.place(lane))
  }

  /**
   * The bytes of a recipe, uncompressed, which is staged or in the store. BUSY when it is in neither: a garbage
   * collection that began before it was held may have it aside for a while, and who tries again finds it back or does
   * without.
   */
  readRecipe(digest: RecipeDigest): Uint8Array {
    const bytes = readRecipeFile(this.#folder, digest) ?? readRecipeFile(this.#root, digest)
    if (bytes !== undefined) return bytes
    throw new OnefoldError('BUSY', `Cannot read recipe ${digest}: the store does not have it at the moment`, {
      hint: 'Run the command again. If it stays so, onefold fsck tells what is damaged.',
    })
  }

  /**
   * The tar of a layer whose objects are staged or in the store, in chunks that are valid until the next is asked for.
   */
  rebuildTar(recipe: Recipe): Generator<Uint8Array> {
    return rebuildTar(this.#root, recipe, this.#folder)
  }

  /** The sha512 digests of objects that are staged or in the store, remembered in the store. */
  async wideDigests(objects: ReadonlySet<VerityDigest>, options?: AbortOptions): Promise<WideDigests> {
    const { wideDigests } = await import('../objects/wide-digests.ts')
    return await wideDigests(this.#root, objects, { ...options, places: [this.#folder, this.#root] })
  }

  /**
   * Finds a layer that need not be imported: of an image in the store, or of a transaction that was killed. Its recipe
   * is held from here on.
   */
  async findLayer(want: LayerKey): Promise<LayerRecord | undefined> {
    const layer = this.#layers.find((own) => isWanted(own, want)) ?? (await this.#openIndex()).find(want)
    if (layer === undefined) return undefined
    return this.#staging.hasRecipe(layer.recipe) ? layer : undefined
  }

  /** Remembers a layer whose recipe is staged, so that the next transaction finds it should this one be killed. */
  noteLayer(layer: LayerRecord): void {
    this.#layers.push(layer)
    this.#put(notePath(this.#folder, layer.blob.digest), formatLayer(layer))
  }

  putBlob(digest: Digest, bytes: Uint8Array): void {
    checkDigest(bytes, digest, `blob ${digest}`)
    // Whoever finds the record of a manifest relies on it, and must not find it collected at the end.
    if (existsSync(recordPath(this.#root, digest))) this.#known.add(digest)
    makeFolder(`${this.#folder}/blobs/${algorithmOf(digest)}`)
    this.#put(blobPath(this.#folder, digest), bytes)
  }

  /** Begins an image that is written in pieces; `putImage` names it. */
  stageImage(): StagedImage {
    return new StagedImage(`${this.#folder}/files/image-${this.#images++}`)
  }

  /** Names an image; `digest` must be the fs-verity digest of all that was written. */
  putImage(digest: VerityDigest, image: StagedImage): void {
    image.finish(imagePath(this.#folder, digest))
  }

  putRecord(record: ImageRecord): void {
    this.#records.push(record)
    this.#put(recordPath(this.#folder, record.manifest.digest), formatRecord(record))
  }

  /** Sets a name when it commits. Throws BAD_NAME for what cannot be one; an unmet condition is found at commit. */
  setRef(name: string, descriptor: Descriptor, condition: RefCondition = 'any'): void {
    this.#put(`${this.#folder}/refs/${encodeRef(name)}`, formatRef(descriptor))
    this.#refs.set(name, { descriptor, condition })
  }

  /**
   * Makes everything durable, then visible, then the visibility durable. BUSY when something it relies on has been
   * removed from the store meanwhile, EXISTS when the condition of a ref is not met; nothing is visible then.
   */
  async commit(options: AbortOptions = {}): Promise<void> {
    this.#requireWhole()
    this.#staging.close()
    await this.#writeback?.stop()
    // Data first: a name that is durable before its bytes is an empty file after a power cut.
    await this.#sync()
    {
      using _lock = await lockStore(this.#root, 'shared', options.signal)
      // Under the lock, as the setting changes under it; and on disk before there are names, as all else.
      if (await sealStaged(this.#root, this.#folder, options.signal)) await this.#sync()
      using _refs = await lockRefs(this.#root, options.signal)
      this.#check()
      this.#noteReplaced()
      nameEverything(this.#root, this.#folder)
      await this.#sync()
    }
    await this[Symbol.asyncDispose]()
  }

  /**
   * Has the kernel write what is staged while more is being staged, so that less is left for the commit. Ends by itself
   * with the transaction.
   */
  startWriteback(): void {
    this.#writeback ??= new Writeback(this.#root)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    this.#staging.close()
    this.#index?.[Symbol.dispose]()
    await this.#writeback?.stop()
    closeSync(this.#rootFd)
    try {
      await removeOwned(this.#folder)
    } catch (error) {
      // What made the transaction end says more. The next one finds a folder that nobody has locked, and removes it.
      if (!(error instanceof OnefoldError)) throw error
    } finally {
      closeSync(this.#lock)
    }
  }

  #put(path: string, bytes: Uint8Array): void {
    writeFile(path, bytes)
  }

  #requireWhole(): void {
    if (this.#isOver) throw new OnefoldError('USAGE', 'Cannot commit: the transaction is over')
    if (existsSync(`${this.#folder}/holds`)) return
    throw new OnefoldError('IO', 'Cannot commit: staging a part of the transaction failed')
  }

  async #openIndex(): Promise<LayerIndex> {
    return (this.#index ??= await openIndex(this.#root))
  }

  async #sync(): Promise<void> {
    try {
      await syncfsAsync(this.#rootFd)
    } catch (error) {
      // After a failed write-back the kernel drops the pages: a second try would succeed and mean nothing.
      throw new OnefoldError('IO', `Cannot write to the file system of "${this.#root}"`, { cause: error })
    }
  }

  #check(): void {
    if (readGeneration(this.#root) !== this.#generation) checkHolds(this.#root, this.#folder)
    for (const manifest of this.#known) this.#require(recordPath, manifest)
    for (const record of this.#records) this.#checkRecord(record)
    for (const [name, { descriptor, condition }] of this.#refs) {
      this.#require(recordPath, descriptor.digest, blobPath)
      checkCondition(this.#root, name, condition)
    }
  }

  #noteReplaced(): void {
    for (const [name, { descriptor }] of this.#refs)
      if (!standsFor(this.#root, name, descriptor.digest)) noteUnnamed(this.#root, name)
  }

  /** Requires what a record names; gc cannot take it away any more once the record has its name. */
  #checkRecord(record: ImageRecord): void {
    this.#require(blobPath, record.manifest.digest)
    this.#require(blobPath, record.config.digest)
    for (const layer of record.layers) this.#require(recipePath, layer.recipe)
  }

  #require<T extends string>(place: (root: string, digest: T) => string, digest: T, or = place): void {
    const places = [
      place(this.#folder, digest),
      or(this.#folder, digest),
      place(this.#root, digest),
      or(this.#root, digest),
    ]
    if (places.some((path) => existsSync(path))) return
    throw new OnefoldError('BUSY', `Cannot commit: ${digest} is neither in the store nor in the transaction`, {
      hint: 'Run the command again: a garbage collection may have removed it.',
    })
  }
}

/** Whether a name stands for a digest. What a damaged ref stood for is not known: it is replaced by whoever sets it. */
function standsFor(root: string, name: string, digest: Digest): boolean {
  try {
    return readRef(root, name)?.digest === digest
  } catch (error) {
    if (error instanceof OnefoldError && error.code !== 'IO') return false
    throw error
  }
}
