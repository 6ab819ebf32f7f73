import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { AbortOptions } from '../../abort.ts'
import { type Digest, type VerityDigest, parseDigest } from '../../digest.ts'
import type { Chunking } from '../../formats/content-index.ts'
import { knownOfRecipe } from '../recipes/recipe-contents.ts'
import { listFolder } from '../store-files.ts'
import { objectPath } from '../store-layout.ts'
import type { ChunkPlace, HeldFile, WantedChunks } from './content-places.ts'
import * as tables from './contents-tables.ts'
import { cutObject, hashObject } from './cut-object.ts'
import { Database } from './database.ts'

export type { ChunkPlace, HeldFile, WantedChunks } from './content-places.ts'

export interface LookOptions extends AbortOptions {
  /** Keeps these safe from garbage collection, before they are looked up. */
  readonly hold: (objects: readonly VerityDigest[]) => void
}

/** Bytes of a file below which it is not worth cutting. */
export const cutMin = 128 * 1024

export async function openContents(root: string): Promise<Contents> {
  const sqlite = await import('node:sqlite')
  return new Contents(root, new Database(root, sqlite, tables.createTables))
}

/**
 * The contents of the store, by the names that tables of contents use: found out when they are first looked for, then
 * remembered.
 */
export class Contents implements Disposable {
  readonly #root: string
  readonly #database: Database

  constructor(root: string, database: Database) {
    this.#root = root
    this.#database = database
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]()
  }

  /**
   * Finds files.
   * @param wanted sha256 → size
   */
  async files(wanted: ReadonlyMap<Digest, number>, options: LookOptions): Promise<Map<Digest, HeldFile>> {
    await this.#readRecipes(options.signal)
    const found = new Map<Digest, HeldFile>()
    const missing = this.#database.use((db) => tables.selectFiles(db, wanted, found))
    await this.#hashSizes(new Set(missing.values()), options)
    if (missing.size > 0) this.#database.use((db) => tables.selectFiles(db, missing, found))
    return this.#present(found, options)
  }

  /** Finds chunks of files: cuts what may be other versions of them, as their table cuts. */
  async chunks(
    wanted: readonly WantedChunks[],
    chunking: Chunking,
    options: LookOptions,
  ): Promise<Map<Digest, ChunkPlace>> {
    const scheme = schemeOf(chunking)
    if (scheme === undefined) return new Map()
    for (const file of wanted) {
      const versions = this.#database.use((db) => tables.selectVersions(db, file))
      for (const object of this.#held(versions, options)) await this.#cut(object, chunking, scheme, options)
    }
    const found = this.#database.use((db) => tables.selectChunks(db, scheme, wanted))
    const there = this.#held(
      found.values().map(({ object }) => object),
      options,
    )
    return new Map([...found].filter(([, { object }]) => there.has(object)))
  }

  /** Remembers what was hashed on the way. */
  learn(objects: Iterable<tables.LearnedObject>): void {
    this.#database.use((db) => tables.insertObjects(db, objects))
  }

  /** Forgets objects whose rows were wrong. */
  forget(objects: Iterable<VerityDigest>): void {
    this.#database.use((db) => tables.deleteObjects(db, objects))
  }

  async #readRecipes(signal: AbortSignal | undefined): Promise<void> {
    const known = this.#database.use(tables.selectRecipes)
    for (const name of listFolder(`${this.#root}/layers`)) {
      if (known.has(name)) continue
      const contents = knownOfRecipe(this.#root, name, cutMin)
      await nextTurn()
      signal?.throwIfAborted()
      if (contents !== undefined) this.#database.use((db) => tables.insertRecipe(db, name, contents))
    }
  }

  /** Hashes objects of the sizes that are looked for, once in their life. */
  async #hashSizes(sizes: ReadonlySet<number>, options: LookOptions): Promise<void> {
    const candidates = this.#database.use((db) => tables.selectUnhashed(db, sizes))
    const hashed: tables.LearnedObject[] = []
    let index = 0
    for (const object of this.#held(candidates, options)) {
      const found = hashObject(this.#root, object)
      if (found !== undefined) hashed.push([parseDigest(`sha256:${found.sha256}`), object, found.size])
      if (++index % 64 !== 0) continue
      await nextTurn()
      options.signal?.throwIfAborted()
    }
    if (hashed.length > 0) this.learn(hashed)
  }

  /** Leaves out files that are not there. */
  #present(found: Map<Digest, HeldFile>, options: LookOptions): Map<Digest, HeldFile> {
    const there = this.#held(
      found.values().flatMap((file) => (file.kind === 'object' ? [file.object] : [])),
      options,
    )
    return new Map([...found].filter(([, file]) => file.kind === 'inline' || there.has(file.object)))
  }

  /**
   * Holds objects, and leaves out those that are not in the store: rows may be of some that were collected long ago.
   */
  #held(objects: Iterable<VerityDigest>, { hold }: LookOptions): Set<VerityDigest> {
    const isThere = (object: VerityDigest): boolean => existsSync(objectPath(this.#root, object))
    const there = [...new Set(objects)].filter(isThere)
    hold(there)
    return new Set(there.filter(isThere))
  }

  async #cut(object: VerityDigest, chunking: Chunking, scheme: string, { signal }: LookOptions): Promise<void> {
    if (this.#database.use((db) => tables.isCut(db, scheme, object))) return
    await nextTurn()
    signal?.throwIfAborted()
    const chunks = cutObject(this.#root, object, chunking)
    if (chunks !== undefined) this.#database.use((db) => tables.insertChunks(db, scheme, object, chunks))
  }
}

/** The name of a way to cut: a digest alone says nothing of where else to cut. */
function schemeOf(chunking: Chunking): string | undefined {
  switch (chunking.kind) {
    case 'rollsum':
      return 'rollsum'
    case 'fixed':
      return `fixed ${chunking.size}`
    case 'none':
      return undefined
  }
}
