import { type Stats, existsSync, lstatSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  type Digest,
  DigestCheck,
  type RecipeDigest,
  type VerityDigest,
  parseDigest,
  parseRecipeDigest,
  parseVerityDigest,
} from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { type Recipe, readRecipe } from '../formats/tar/recipe.ts'
import { Catalog } from './catalog.ts'
import { listCondemned, listOwned } from './dead.ts'
import {
  type DigestFolder,
  blobPath,
  digestOfName,
  folders,
  indexFile,
  lockFile,
  objectPath,
  recipePath,
  storeFile,
  tmpFolder,
} from './layout.ts'
import { tryLockCollector } from './lock.ts'
import { FileHasher } from './objects.ts'
import { rebuildTar } from './rebuild.ts'
import { readRecipeFile } from './recipes.ts'
import type { ImageRecord } from './record.ts'
import { listFolder, listFolders, readBlob, readRecord } from './records.ts'
import { decodeRef, listRefFiles, readRef } from './refs.ts'
import type { AbortOptions } from './transaction.ts'

export interface FsckOptions extends AbortOptions {
  /** Also build the tar of every layer again and hash it against its diffID. */
  readonly rebuild?: boolean | undefined
}

export interface FsckReport {
  /** There is no damage; strays do not count. */
  readonly clean: boolean
  readonly checked: Checked
  /** By kind and name. */
  readonly damage: readonly Damage[]
  /** Paths below the root that are nothing of ours, in code unit order. */
  readonly strays: readonly string[]
}

export interface Checked {
  readonly objects: number
  readonly objectBytes: number
  readonly recipes: number
  readonly images: number
  readonly blobs: number
  readonly records: number
  readonly refs: number
}

export interface Damage {
  readonly kind: DamageKind
  /** Digest or name of the damaged thing. */
  readonly name: string
  /** What was found. */
  readonly problem: string
  /** Names of the images that suffer from it; none when nothing uses it. */
  readonly images: readonly string[]
}

export type DamageKind = 'store' | 'ref' | 'record' | 'blob' | 'recipe' | 'image' | 'object'

/**
 * Reads everything in the store and compares it with its name. Changes nothing. What is missing counts as damage where
 * something needs it, but for composefs images, which are a cache, and for platforms of an index that were never pulled.
 *
 * Pulls may go on meanwhile; garbage collection waits with BUSY, so that nothing goes away while it is looked for.
 */
export async function checkStore(root: string, options: FsckOptions = {}): Promise<FsckReport> {
  using collecting = tryLockCollector(root)
  if (collecting === undefined)
    throw new OnefoldError('BUSY', `Cannot check the store "${root}": a garbage collection, or a check, is at it`)
  const check = new Check(root, options)
  check.root()
  await check.objects()
  await check.recipes()
  await check.images()
  check.blobs()
  check.records()
  check.refs()
  check.transactions()
  return check.report()
}

interface Found {
  readonly kind: DamageKind
  readonly name: string
  readonly problem: string
  /** Digests of recipes and manifests that need it. */
  readonly users: Set<string>
}

class Check {
  readonly #root: string
  readonly #options: FsckOptions
  readonly #hasher = new FileHasher()
  readonly #found = new Map<string, Found>()
  readonly #strays: string[] = []
  readonly #sizes = new Map<VerityDigest, number>()
  /** Recipe → manifests of the images made of it. */
  readonly #manifests = new Map<RecipeDigest, Digest[]>()
  readonly #checked = { objects: 0, objectBytes: 0, recipes: 0, images: 0, blobs: 0, records: 0, refs: 0 }

  constructor(root: string, options: FsckOptions) {
    this.#root = root
    this.#options = options
  }

  root(): void {
    const known = new Set([...folders, storeFile, lockFile, indexFile, tmpFolder, 'mounts', 'lost+found'])
    for (const name of listFolder(this.#root)) if (!known.has(name)) this.#strays.push(name)
    const mode = lstatSync(this.#root).mode & 0o777
    if (mode !== 0o700 && mode !== 0o755)
      this.#damage('store', this.#root, `its mode is ${octal(mode)}, expected 0700, or 0755 when it is shared`)
  }

  async objects(): Promise<void> {
    for (const { path, digest: text } of this.#files('objects')) {
      await this.#turn()
      const digest = parseVerityDigest(text)
      const stat = this.#regular('object', digest, path)
      if (stat === undefined) continue
      this.#sizes.set(digest, stat.size)
      this.#checked.objects++
      this.#checked.objectBytes += stat.size
      this.#readOnly('object', digest, stat)
      this.#hash('object', digest, path)
    }
  }

  async recipes(): Promise<void> {
    for (const { digest: text } of this.#files('layers')) {
      await this.#turn()
      const digest = parseRecipeDigest(text)
      this.#checked.recipes++
      const recipe = this.#try('recipe', digest, () => this.#readRecipe(digest))
      const whole = recipe !== undefined && this.#objectsOf(digest, recipe)
      if (whole && this.#options.rebuild === true) this.#try('recipe', digest, () => this.#rebuild(digest, recipe))
      this.#found.get(`recipe ${digest}`)?.users.add(digest)
    }
  }

  async images(): Promise<void> {
    for (const { path, digest: text } of this.#files('images')) {
      await this.#turn()
      const digest = parseVerityDigest(text)
      const stat = this.#regular('image', digest, path)
      if (stat === undefined) continue
      this.#checked.images++
      this.#readOnly('image', digest, stat)
      this.#hash('image', digest, path)
    }
  }

  blobs(): void {
    for (const { digest } of this.#files('blobs')) {
      this.#checked.blobs++
      this.#try('blob', digest, () => readBlob(this.#root, parseDigest(digest)))
    }
  }

  records(): void {
    for (const { digest: text } of this.#files('records')) {
      this.#checked.records++
      const digest = parseDigest(text)
      const record = this.#try('record', digest, () => readRecord(this.#root, digest))
      if (record !== undefined) this.#recordNeeds(record)
    }
  }

  refs(): void {
    const catalog = new Catalog(this.#root)
    for (const file of listRefFiles(this.#root)) {
      const name = decodeRef(file)
      if (name === undefined) {
        this.#strays.push(`refs/${file}`)
        continue
      }
      this.#checked.refs++
      const top = this.#try('ref', name, () => readRef(this.#root, name))
      if (top !== undefined && catalog.named(name)?.records.length === 0)
        this.#damage('ref', name, `it stands for ${top.digest}, which leads to no image of the store`)
    }
  }

  /** Those of the living and of the dead are no strays; the next transaction takes care of the latter. */
  transactions(): void {
    const ours = new Set([...listOwned(this.#root), ...listCondemned(this.#root)])
    for (const name of listFolder(`${this.#root}/${tmpFolder}`))
      if (!ours.has(`${this.#root}/${tmpFolder}/${name}`)) this.#strays.push(`${tmpFolder}/${name}`)
  }

  report(): FsckReport {
    const names = this.#namesOfImages()
    const damage = [...this.#found.values()].map(({ kind, name, problem, users }) => ({
      kind,
      name,
      problem,
      images: [...new Set([...users].flatMap((user) => this.#imagesOf(user, names)))].toSorted(),
    }))
    return {
      clean: damage.length === 0,
      checked: this.#checked,
      damage: damage.toSorted((a, b) => compare(`${a.kind} ${a.name}`, `${b.kind} ${b.name}`)),
      strays: this.#strays.toSorted(),
    }
  }

  #readRecipe(digest: RecipeDigest): Recipe | undefined {
    const bytes = readRecipeFile(this.#root, digest)
    return bytes && readRecipe(bytes)
  }

  /** False when one is missing or damaged, which is noted as that object's damage. */
  #objectsOf(digest: RecipeDigest, recipe: Recipe): boolean {
    let whole = true
    for (const object of recipe.objects()) {
      const size = this.#sizes.get(object.digest) ?? sizeOf(objectPath(this.#root, object.digest))
      if (size === undefined) this.#damage('object', object.digest, 'it is missing')
      else if (size !== object.size)
        this.#damage('object', object.digest, `it has ${size} bytes, expected ${object.size}`)
      const found = this.#found.get(`object ${object.digest}`)
      found?.users.add(digest)
      whole &&= found === undefined
    }
    return whole
  }

  #rebuild(digest: RecipeDigest, recipe: Recipe): void {
    const check = new DigestCheck(recipe.diffId)
    for (const bytes of rebuildTar(this.#root, recipe)) check.update(bytes)
    check.finish(`the tar that recipe ${digest} gives`)
  }

  #recordNeeds(record: ImageRecord): void {
    const { manifest, config, layers } = record
    for (const { recipe, diffId } of layers) {
      this.#manifests.set(recipe, [...(this.#manifests.get(recipe) ?? []), manifest.digest])
      if (!existsSync(recipePath(this.#root, recipe)))
        this.#damage('recipe', recipe, `it is missing (layer ${diffId})`).users.add(manifest.digest)
    }
    for (const { digest } of [manifest, config])
      if (!existsSync(blobPath(this.#root, digest))) this.#damage('blob', digest, 'it is missing')
    for (const [kind, name] of [
      ['record', manifest.digest],
      ['blob', manifest.digest],
      ['blob', config.digest],
      ...Object.values(record.images).map((image) => ['image', image]),
    ])
      this.#found.get(`${kind} ${name}`)?.users.add(manifest.digest)
  }

  /** Files that are named as ours are; the others are strays. */
  *#files(folder: DigestFolder): Generator<{ path: string; digest: string }> {
    const hasFanOut = folder === 'objects' || folder === 'blobs'
    for (const name of hasFanOut ? this.#fanOut(folder) : listFolder(`${this.#root}/${folder}`)) {
      const digest = digestOfName(folder, name)
      const path = `${this.#root}/${folder}/${name}`
      if (digest === undefined) this.#strays.push(`${folder}/${name}`)
      else yield { path, digest }
    }
  }

  *#fanOut(folder: DigestFolder): Generator<string> {
    const path = `${this.#root}/${folder}`
    const fanOut = new Set(listFolders(path))
    for (const name of listFolder(path)) {
      if (!fanOut.has(name)) this.#strays.push(`${folder}/${name}`)
      else for (const file of listFolder(`${path}/${name}`)) yield `${name}/${file}`
    }
  }

  #regular(kind: DamageKind, name: string, path: string): Stats | undefined {
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat?.isFile() === true) return stat
    if (stat !== undefined) this.#damage(kind, name, 'it is not a regular file')
    return undefined
  }

  /** A mount reads the very file: who may write to it changes what containers run. */
  #readOnly(kind: DamageKind, digest: VerityDigest, { mode }: Stats): void {
    if ((mode & 0o777) !== 0o444) this.#damage(kind, digest, `its mode is ${octal(mode & 0o777)}, expected 0444`)
  }

  #hash(kind: 'object' | 'image', digest: VerityDigest, path: string): void {
    const got = this.#try(kind, digest, () => this.#hasher.hash(path))
    if (got !== undefined && got !== digest) this.#damage(kind, digest, `its bytes hash to ${got}`)
  }

  /** Errors of reading are what is looked for; undefined then. */
  #try<T>(kind: DamageKind, name: string, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (!(error instanceof OnefoldError)) throw error
      this.#damage(kind, name, error.message)
      return undefined
    }
  }

  #damage(kind: DamageKind, name: string, problem: string): Found {
    const key = `${kind} ${name}`
    const found = this.#found.get(key) ?? { kind, name, problem, users: new Set() }
    this.#found.set(key, found)
    return found
  }

  /** Manifest → names. */
  #namesOfImages(): Map<string, string[]> {
    const names = new Map<string, string[]>()
    for (const { name, records } of new Catalog(this.#root).all())
      for (const { manifest } of records) names.set(manifest.digest, [...(names.get(manifest.digest) ?? []), name])
    return names
  }

  #imagesOf(user: string, names: ReadonlyMap<string, string[]>): string[] {
    const manifests = this.#manifests.get(user as RecipeDigest) ?? [user]
    return manifests.flatMap((manifest) => names.get(manifest) ?? [])
  }

  async #turn(): Promise<void> {
    this.#options.signal?.throwIfAborted()
    await nextTurn()
  }
}

function sizeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.size
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0')
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
