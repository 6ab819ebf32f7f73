import { existsSync, lstatSync } from 'node:fs'
import {
  type Digest,
  type DiffId,
  type RecipeDigest,
  type VerityDigest,
  parseDigest,
  parseRecipeDigest,
} from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseConfig } from '../../formats/oci/image-config.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import { type Recipe, readRecipe } from '../../recipe/recipe.ts'
import { Catalog } from '../records/catalog.ts'
import { blobPath, objectPath, recipePath, recordPath } from '../store-layout.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import { readWhole } from '../store-files.ts'
import { type ImageRecord, recordMax } from '../records/image-record.ts'
import { hasSum } from '../records/summed-json.ts'
import { readBlob, readRecord } from '../records/record-files.ts'
import { decodeRef, listRefFiles, readRef } from '../records/refs.ts'
import type { Sizes } from './check-files.ts'
import type { Findings } from './findings.ts'
import { Reached } from './check-names.ts'
import type { DamageKind } from './fsck-report.ts'
import type { NamedFile, Walk } from './fsck-walk.ts'

/** Checks everything small: what blobs, records, recipes and refs say, and whether what they name is there. */
export class Claims {
  readonly records = new Map<Digest, ImageRecord>()
  readonly reached: Reached
  readonly checked = { recipes: 0, blobs: 0, records: 0, refs: 0 }
  /** Recipes that can be read, with what their tars hash to if the layer was proven. */
  readonly recipes = new Map<RecipeDigest, DiffId | undefined>()
  readonly #root: string
  readonly #walk: Walk
  readonly #findings: Findings
  /** Recipe → manifests of the images made of it. */
  readonly #manifests = new Map<RecipeDigest, Set<Digest>>()

  constructor(root: string, walk: Walk, findings: Findings) {
    this.#root = root
    this.#walk = walk
    this.#findings = findings
    this.reached = new Reached(root)
  }

  readBlobs(): void {
    for (const named of this.#walk.files('blobs')) {
      this.checked.blobs++
      const digest = parseDigest(named.digest)
      this.#small('blob', named)
      this.#findings.try({ kind: 'blob', name: digest, file: named.file }, () => readBlob(this.#root, digest))
    }
  }

  readRecords(): void {
    for (const named of this.#walk.files('records')) {
      this.checked.records++
      const digest = parseDigest(named.digest)
      this.#small('record', named)
      const found = { kind: 'record' as const, name: digest, file: named.file }
      const record = this.#findings.try(found, () => this.#summed(named.file, () => readRecord(this.#root, digest)))
      if (record === undefined) {
        if (this.#findings.get('record', digest) !== undefined) this.#requireBlob(digest)
        continue
      }
      this.records.set(digest, record)
      const lie = this.#findings.try(found, () => this.#lieOf(record))
      if (lie !== undefined) this.#findings.add({ ...found, state: 'untrue', problem: lie })
      this.#findings.use('record', digest, digest)
      for (const { recipe } of record.layers)
        this.#manifests.set(recipe, (this.#manifests.get(recipe) ?? new Set()).add(digest))
    }
  }

  /** Reads recipes, after records and objects, so that what a commit names meanwhile is there when it is looked for. */
  readRecipes(sizes: Sizes): void {
    for (const named of this.#walk.files('layers')) {
      this.checked.recipes++
      const digest = parseRecipeDigest(named.digest)
      this.#small('recipe', named)
      const found = { kind: 'recipe' as const, name: digest, file: named.file }
      const recipe = this.#findings.try(found, () => this.#readRecipe(digest))
      if (recipe === undefined) continue
      this.recipes.set(digest, this.#provenDiffId(digest, recipe))
      // A recipe that no image is made of needs nothing: it is garbage, or its record has not come yet.
      if (this.#manifests.has(digest)) this.#findings.try(found, () => this.#objectsOf(digest, recipe, sizes))
    }
  }

  readRefs(): void {
    for (const fileName of listRefFiles(this.#root)) {
      const name = decodeRef(fileName)
      const file = `refs/${fileName}`
      if (name === undefined) {
        this.#walk.strays.push(file)
        continue
      }
      this.checked.refs++
      const found = { kind: 'ref' as const, name, file }
      this.#small('ref', { file, digest: name })
      const top = this.#findings.try(found, () => this.#summed(file, () => readRef(this.#root, name)))
      if (top !== undefined) this.#follow(name, top, file)
      else if (this.#findings.get('ref', name) !== undefined) this.reached.unknown()
      this.#findings.get('ref', name)?.names.add(name)
    }
  }

  #follow(name: string, top: Descriptor, file: string): void {
    if (this.reached.add(name, top, (digest) => this.records.has(digest))) return
    // It may have come, or gone, since the records were read.
    if (this.#leadsSomewhere(name)) return
    if (!existsSync(recordPath(this.#root, top.digest))) this.#requireBlob(top.digest)
    this.#findings.get('blob', top.digest)?.names.add(name)
    const problem = `it stands for ${top.digest}, which leads to no image of the store`
    this.#findings.add({ kind: 'ref', name, file, state: 'untrue', problem })
  }

  #leadsSomewhere(name: string): boolean {
    try {
      return new Catalog(this.#root).named(name)?.records.length !== 0
    } catch (error) {
      // A bad sector: what cannot be read is a finding already.
      if (error instanceof OnefoldError) return false
      throw error
    }
  }

  /** Requires what records need, once everything that is there has been looked at. */
  requireParts(): void {
    for (const record of this.records.values()) {
      const user = record.manifest.digest
      for (const { recipe, diffId } of record.layers) {
        const file = this.#below(recipePath(this.#root, recipe))
        const found = { kind: 'recipe' as const, name: recipe, file, state: 'missing' as const }
        if (!existsSync(recipePath(this.#root, recipe)))
          this.#findings.add({ ...found, problem: `it is missing (layer ${diffId})` })
        this.#findings.use('recipe', recipe, user)
      }
      for (const { digest } of [record.manifest, record.config]) {
        this.#requireBlob(digest)
        this.#findings.use('blob', digest, user)
      }
      for (const image of Object.values(record.images)) this.#findings.use('image', image, user)
    }
  }

  #requireBlob(digest: Digest): void {
    const path = blobPath(this.#root, digest)
    if (existsSync(path)) return
    const file = this.#below(path)
    this.#findings.add({ kind: 'blob', name: digest, file, state: 'missing', problem: 'it is missing' })
  }

  /** Manifests of the images that a finding's users belong to. */
  manifestsOf(user: string): Iterable<Digest> {
    return this.#manifests.get(user as RecipeDigest) ?? (this.records.has(user as Digest) ? [user as Digest] : [])
  }

  /** Whether no image is made of a recipe. */
  isUnused(recipe: RecipeDigest): boolean {
    return !this.#manifests.has(recipe)
  }

  /** Whether a record has this composefs image, so that it can be made again. */
  hasImage(image: VerityDigest): boolean {
    return [...this.records.values()].some(({ images }) => images.default === image)
  }

  isPartOfRecord(blob: string): boolean {
    return this.records.has(blob as Digest) || [...this.records.values()].some(({ config }) => config.digest === blob)
  }

  /** Says where a record contradicts its manifest or config. Those that cannot be read are findings of their own. */
  #lieOf(record: ImageRecord): string | undefined {
    const { manifest, config, layers } = record
    const bytes = this.#goodBlob(manifest.digest)
    if (bytes !== undefined) {
      const document = parseArtifact(bytes, { mediaType: manifest.mediaType, digest: manifest.digest })
      if (document.kind === 'index') return 'it is the record of an index, expected that of an image'
      if (document.config.digest !== config.digest)
        return `its config is ${config.digest}, that of the manifest ${document.config.digest}`
      const blobs = document.layers.map(({ digest }) => digest)
      if (!isEqual(blobs, layers, ({ blob }) => blob.digest)) return 'its layers are not those of the manifest'
    }
    const configBytes = this.#goodBlob(config.digest)
    if (configBytes !== undefined && !isEqual(parseConfig(configBytes).diffIds, layers, ({ diffId }) => diffId))
      return 'its diffIDs are not those of the config'
    return undefined
  }

  #goodBlob(digest: Digest): Uint8Array | undefined {
    return this.#findings.get('blob', digest) === undefined ? readBlob(this.#root, digest) : undefined
  }

  #readRecipe(digest: RecipeDigest): Recipe | undefined {
    const bytes = readRecipeFile(this.#root, digest)
    return bytes && readRecipe(bytes)
  }

  /**
   * The digest that the tar must have. Of layers that are only known by a table of contents it is another tar that has
   * the diffID; the same recipe may be proven by one record and not by another.
   */
  #provenDiffId(digest: RecipeDigest, recipe: Recipe): DiffId | undefined {
    let proven: DiffId | undefined
    for (const manifest of this.#manifests.get(digest) ?? []) {
      const record = this.records.get(manifest)
      for (const layer of record?.layers ?? []) {
        if (layer.recipe !== digest || layer.proof !== 'proven') continue
        proven = layer.diffId
        if (recipe.diffId === layer.diffId) continue
        const problem = `its layer ${layer.diffId} has recipe ${digest}, which is that of ${recipe.diffId}`
        const file = `records/${manifest}`
        this.#findings.add({ kind: 'record', name: manifest, file, state: 'untrue', problem }).users.add(manifest)
      }
    }
    return proven
  }

  #objectsOf(digest: RecipeDigest, recipe: Recipe, sizes: Sizes): void {
    for (const object of recipe.objects()) {
      const name = object.digest
      let size = sizes.get(name)
      if (size !== object.size) size = lstatSync(objectPath(this.#root, name), { throwIfNoEntry: false })?.size
      const found = { kind: 'object' as const, name, file: `objects/${name.slice(0, 2)}/${name.slice(2)}` }
      if (size === undefined) this.#findings.add({ ...found, state: 'missing', problem: 'it is missing' })
      else if (size !== object.size)
        this.#findings.add({ ...found, state: 'broken', problem: `it has ${size} bytes, expected ${object.size}` })
      this.#findings.use('object', name, digest)
    }
  }

  /** Reads what has to end with its sum. Other readers do without one: it may be the sum that is damaged. */
  #summed<T>(file: string, read: () => T): T {
    const value = read()
    const bytes = value === undefined ? undefined : readWhole(`${this.#root}/${file}`, file, recordMax)
    if (bytes !== undefined && !hasSum(bytes))
      throw new OnefoldError('CORRUPT', `Cannot trust "${file}": it does not end with its sum`)
    return value
  }

  #small(kind: DamageKind, { file, digest }: Pick<NamedFile, 'file' | 'digest'>): void {
    const seen = this.#walk.lookAt(file, 'file')
    if (seen?.exposed === undefined) return
    const state = seen.stat.isFile() ? 'exposed' : 'broken'
    this.#findings.add({ kind, name: digest, file, state, problem: seen.exposed })
  }

  #below(path: string): string {
    return path.slice(this.#root.length + 1)
  }
}

function isEqual<T>(wanted: readonly string[], found: readonly T[], of: (item: T) => string): boolean {
  return wanted.length === found.length && found.every((item, i) => of(item) === wanted[i])
}
