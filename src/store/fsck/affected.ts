import { existsSync } from 'node:fs'
import type { Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { readErofs } from '../../formats/composefs/read-image.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { type Directory, inodeOf, namesBelow } from '../../formats/tree.ts'
import { Merge } from '../../image/merge/apply-layers.ts'
import { objectPath } from '../store-layout.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { readImageFile } from '../records/record-files.ts'
import type { Claims } from './claims.ts'
import type { Findings, Found } from './findings.ts'
import type { Affected } from './fsck-report.ts'

/** Says of all damage which images suffer from it, and of damaged objects, which of their files. */
export class Suffering {
  readonly #root: string
  readonly #findings: Findings
  readonly #claims: Claims
  /** Paths by manifest and damaged object; every tree is read once. */
  readonly #paths = new Map<Digest, ReadonlyMap<VerityDigest, readonly string[]>>()

  constructor(root: string, findings: Findings, claims: Claims) {
    this.#root = root
    this.#findings = findings
    this.#claims = claims
  }

  of(found: Found): { readonly affected: readonly Affected[]; readonly images: readonly string[] } {
    const manifests = new Set([...found.users].flatMap((user) => [...this.#claims.manifestsOf(user)]))
    const affected = [...manifests].toSorted().map((manifest) => ({
      manifest,
      names: this.#claims.reached.names(manifest),
      paths: found.kind === 'object' ? this.#pathsOf(manifest, found.name as VerityDigest) : [],
    }))
    const lost =
      found.kind === 'record' || found.kind === 'blob' ? this.#claims.reached.names(found.name as Digest) : []
    const images = new Set([...found.names, ...lost, ...affected.flatMap(({ names }) => names)])
    return { affected, images: [...images].toSorted() }
  }

  /**
   * Looks into images whose recipes are lost, since they still tell which objects are needed: notes who needs the
   * damaged ones, and finds those that are missing.
   */
  lookInImages(): void {
    for (const [manifest, record] of this.#claims.records) {
      if (record.layers.every(({ recipe }) => this.#claims.recipes.has(recipe))) continue
      const tree = this.#imageTree(record)
      if (tree === undefined) continue
      for (const { object } of objectsIn(tree)) {
        const path = objectPath(this.#root, object)
        if (!existsSync(path)) {
          const file = path.slice(this.#root.length + 1)
          this.#findings.add({ kind: 'object', name: object, file, state: 'missing', problem: 'it is missing' })
        }
        this.#findings.use('object', object, manifest)
      }
    }
  }

  #pathsOf(manifest: Digest, object: VerityDigest): readonly string[] {
    const record = this.#claims.records.get(manifest)
    if (record === undefined) return []
    const known = this.#paths.get(manifest) ?? this.#findPaths(record)
    this.#paths.set(manifest, known)
    return known.get(object) ?? []
  }

  #findPaths(record: ImageRecord): Map<VerityDigest, string[]> {
    const paths = new Map<VerityDigest, string[]>()
    const tree = this.#imageTree(record) ?? this.#layerTree(record)
    if (tree === undefined) return paths
    for (const { path, object } of objectsIn(tree))
      if (this.#findings.get('object', object) !== undefined) paths.set(object, [...(paths.get(object) ?? []), path])
    return paths
  }

  #imageTree(record: ImageRecord): Directory | undefined {
    const image = record.images.default
    if (image === undefined || this.#findings.get('image', image) !== undefined) return undefined
    return orUndefined(() => {
      const bytes = readImageFile(this.#root, image)
      return bytes && readErofs(bytes)
    })
  }

  #layerTree(record: ImageRecord): Directory | undefined {
    return orUndefined(() => {
      const merge = new Merge({ keepSelinux: record.keepSelinux })
      for (const { recipe, kind } of record.layers) {
        const bytes = readRecipeFile(this.#root, recipe)
        if (bytes === undefined) return undefined
        merge.apply(readRecipe(bytes).entries(), kind)
      }
      return merge.finish()
    })
  }
}

/** Lists every name of every file that is an object. */
function* objectsIn(root: Directory): Generator<{ path: string; object: VerityDigest }> {
  for (const { path, child } of namesBelow(root)) {
    const { content } = inodeOf(child)
    if (content.kind === 'object') yield { path: `/${path}`, object: content.digest }
  }
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}
