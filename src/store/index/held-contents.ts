/**
 * In `index.db`: what the store holds, by the names that tables of contents use. Derived on first need from recipes and
 * objects, and never believed: whoever uses a row hashes what it leads to.
 *
 *     recipes_read (name)                            those that `objects`, `inlines` and `places` have
 *     objects (object, size, sha256)                 sha256: hashed when a file of that size is first looked for
 *     inlines (sha256, bytes)                        files that are too small for an object
 *     places (path, name, object)                    where objects of cutMin bytes and more stand in layers
 *     chunks (scheme, digest, object, start, length) parts of objects that were cut as `scheme` cuts
 *     cuts (scheme, object)                          objects that `chunks` has
 */
import { existsSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type Digest, type VerityDigest, isDigest, parseDigest, parseVerityDigest } from '../../digest.ts'
import { inlineMax } from '../../formats/entry.ts'
import type { Chunking } from '../../formats/content-index.ts'
import { cutObject, hashObject } from './cut-object.ts'
import { Database, changing } from './database.ts'
import { objectPath } from '../store-layout.ts'
import { knownOfRecipe } from '../recipes/recipe-contents.ts'
import { listFolder } from '../records/record-files.ts'

export type HeldFile =
  | { readonly kind: 'object'; readonly object: VerityDigest }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }

/** Where the bytes of a chunk lie in an object of the store. */
export interface ChunkPlace {
  readonly object: VerityDigest
  readonly offset: number
  readonly length: number
}

/** A file that is not in the store, of which another version may be. */
export interface WantedChunks {
  /** As in a layer: without a slash in front. */
  readonly path: string
  readonly size: number
  /** Of its chunks. */
  readonly digests: readonly Digest[]
}

export interface LookOptions {
  /** Keeps these safe from garbage collection, before they are looked up. */
  readonly hold: (objects: readonly VerityDigest[]) => void
  readonly signal?: AbortSignal | undefined
}

/** Smaller files are not worth cutting. */
export const cutMin = 128 * 1024
/** Of the database, kept in memory. */
const cacheKiB = 64 * 1024
/** Other versions of one file that are looked into. */
const versionsMax = 2

export async function openContents(root: string): Promise<Contents> {
  const sqlite = await import('node:sqlite')
  return new Contents(root, new Database(root, sqlite, createTables))
}

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

  /** @param wanted sha256 → size */
  async files(wanted: ReadonlyMap<Digest, number>, options: LookOptions): Promise<Map<Digest, HeldFile>> {
    await this.#readRecipes(options.signal)
    const found = new Map<Digest, HeldFile>()
    const missing = this.#lookUp(wanted, found)
    await this.#hashSizes(new Set(missing.values()), options)
    if (missing.size > 0) this.#lookUp(missing, found)
    return this.#present(found, options)
  }

  /** Cuts what may be other versions of the files, as their table cuts, and finds their chunks. */
  async chunks(
    wanted: readonly WantedChunks[],
    chunking: Chunking,
    options: LookOptions,
  ): Promise<Map<Digest, ChunkPlace>> {
    const scheme = schemeOf(chunking)
    if (scheme === undefined) return new Map()
    for (const file of wanted) {
      const versions = this.#held(this.#versions(file), options)
      for (const object of versions) await this.#cut(object, chunking, scheme, options)
    }
    const found = this.#database.use((db) => selectChunks(db, scheme, wanted))
    const there = this.#held(
      found.values().map(({ object }) => object),
      options,
    )
    return new Map([...found].filter(([, { object }]) => there.has(object)))
  }

  /** Remembers what was hashed on the way. */
  learn(files: Iterable<readonly [sha256: Digest, object: VerityDigest, size: number]>): void {
    this.#database.use((db) => {
      const learn = db.prepare(
        'INSERT INTO objects VALUES (?, ?, ?) ON CONFLICT (object) DO UPDATE SET sha256 = excluded.sha256',
      )
      changing(db, () => {
        for (const [sha256, object, size] of files) learn.run(object, size, sha256)
      })
    })
  }

  /** Rows of these objects were wrong. */
  forget(objects: Iterable<VerityDigest>): void {
    this.#database.use((db) => {
      const statements = ['objects', 'chunks', 'cuts'].map((table) =>
        db.prepare(`DELETE FROM ${table} WHERE object = ?`),
      )
      const reread = db.prepare('DELETE FROM recipes_read')
      changing(db, () => {
        for (const object of objects) for (const statement of statements) statement.run(object)
        reread.run()
      })
    })
  }

  async #readRecipes(signal: AbortSignal | undefined): Promise<void> {
    const known = this.#database.use((db) => new Set(textsOf(db, 'SELECT name FROM recipes_read')))
    for (const name of listFolder(`${this.#root}/layers`)) {
      if (known.has(name)) continue
      const contents = knownOfRecipe(this.#root, name, cutMin)
      await nextTurn()
      signal?.throwIfAborted()
      if (contents === undefined) continue
      this.#database.use((db) => {
        const object = db.prepare('INSERT OR IGNORE INTO objects VALUES (?, ?, NULL)')
        const inline = db.prepare('INSERT OR IGNORE INTO inlines VALUES (?, ?)')
        const place = db.prepare('INSERT OR IGNORE INTO places VALUES (?, ?, ?)')
        const read = db.prepare('INSERT OR IGNORE INTO recipes_read VALUES (?)')
        changing(db, () => {
          for (const { digest, size } of contents.objects) object.run(digest, size)
          for (const { sha256, bytes } of contents.inlines) inline.run(`sha256:${sha256}`, bytes)
          for (const { path, digest } of contents.places) place.run(path, nameOf(path), digest)
          read.run(name)
        })
      })
    }
  }

  /** Adds to `found`; returns what is not known. */
  #lookUp(wanted: ReadonlyMap<Digest, number>, found: Map<Digest, HeldFile>): Map<Digest, number> {
    return this.#database.use((db) => {
      const missing = new Map<Digest, number>()
      const objects = objectFinder(db, wanted)
      const inlines = db.prepare('SELECT bytes FROM inlines WHERE sha256 = ?')
      for (const [digest, size] of wanted) {
        const file = size <= inlineMax ? inlineFile(inlines.get(digest)?.['bytes']) : objects(digest, size)
        if (file === undefined) missing.set(digest, size)
        else found.set(digest, file)
      }
      return missing
    })
  }

  /** Objects of a size that is looked for are hashed, once in their life. */
  async #hashSizes(sizes: ReadonlySet<number>, options: LookOptions): Promise<void> {
    const candidates = this.#database.use((db) => {
      const select = db.prepare('SELECT object FROM objects WHERE size = ? AND sha256 IS NULL')
      return [...sizes].flatMap((size) => select.all(size).flatMap((row) => digestIn(row['object'])))
    })
    const rows: (readonly [Digest, VerityDigest, number])[] = []
    let index = 0
    for (const object of this.#held(candidates, options)) {
      const hashed = hashObject(this.#root, object)
      if (hashed !== undefined) rows.push([parseDigest(`sha256:${hashed.sha256}`), object, hashed.size])
      if (++index % 64 !== 0) continue
      await nextTurn()
      options.signal?.throwIfAborted()
    }
    if (rows.length > 0) this.learn(rows)
  }

  #present(found: Map<Digest, HeldFile>, options: LookOptions): Map<Digest, HeldFile> {
    const there = this.#held(
      found.values().flatMap((file) => (file.kind === 'object' ? [file.object] : [])),
      options,
    )
    return new Map([...found].filter(([, file]) => file.kind === 'inline' || there.has(file.object)))
  }

  /** Those of the objects that are in the store, now kept in it. Rows may be of objects that were collected long ago. */
  #held(objects: Iterable<VerityDigest>, { hold }: LookOptions): Set<VerityDigest> {
    const isThere = (object: VerityDigest): boolean => existsSync(objectPath(this.#root, object))
    const there = [...new Set(objects)].filter(isThere)
    hold(there)
    return new Set(there.filter(isThere))
  }

  /** Objects that stood under the same path, or else the same name, of about the same size. */
  #versions({ path, size }: WantedChunks): VerityDigest[] {
    return this.#database.use((db) => {
      const query = (column: string): StatementSync =>
        db.prepare(`SELECT places.object AS object FROM places JOIN objects ON objects.object = places.object
          WHERE places.${column} = ? ORDER BY abs(objects.size - ?), places.object LIMIT ${versionsMax}`)
      const same = query('path').all(path, size)
      const rows = same.length > 0 ? same : query('name').all(nameOf(path), size)
      return rows.flatMap((row) => digestIn(row['object']))
    })
  }

  async #cut(object: VerityDigest, chunking: Chunking, scheme: string, { signal }: LookOptions): Promise<void> {
    const isCut = this.#database.use((db) =>
      db.prepare('SELECT 1 AS cut FROM cuts WHERE scheme = ? AND object = ?').get(scheme, object),
    )
    if (isCut !== undefined) return
    await nextTurn()
    signal?.throwIfAborted()
    const chunks = cutObject(this.#root, object, chunking)
    if (chunks === undefined) return
    this.#database.use((db) => {
      const learn = db.prepare('INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?)')
      const learnCut = db.prepare('INSERT OR IGNORE INTO cuts VALUES (?, ?)')
      changing(db, () => {
        for (const { sha256, offset, length } of chunks) learn.run(scheme, `sha256:${sha256}`, object, offset, length)
        learnCut.run(scheme, object)
      })
    })
  }
}

function createTables(db: DatabaseSync): void {
  // Digests are scattered: with less in memory, every lookup would be a read.
  db.exec(`PRAGMA cache_size = -${cacheKiB}; PRAGMA mmap_size = ${cacheKiB * 1024};
    CREATE TABLE IF NOT EXISTS recipes_read (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS objects (object TEXT PRIMARY KEY, size INTEGER, sha256 TEXT) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS objects_by_sha256 ON objects (sha256, size) WHERE sha256 IS NOT NULL;
    CREATE INDEX IF NOT EXISTS objects_by_size ON objects (size) WHERE sha256 IS NULL;
    CREATE TABLE IF NOT EXISTS inlines (sha256 TEXT PRIMARY KEY, bytes BLOB) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS places (path TEXT, name TEXT, object TEXT, PRIMARY KEY (path, object)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS places_by_name ON places (name);
    CREATE TABLE IF NOT EXISTS chunks (scheme TEXT, digest TEXT, object TEXT, start INTEGER, length INTEGER,
      PRIMARY KEY (scheme, digest)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS cuts (scheme TEXT, object TEXT, PRIMARY KEY (scheme, object)) WITHOUT ROWID`)
}

/** Finds objects by sha256 and size: one by one, or by one pass over all, which costs a third per row. */
function objectFinder(
  db: DatabaseSync,
  wanted: ReadonlyMap<Digest, number>,
): (digest: Digest, size: number) => HeldFile | undefined {
  const known = db.prepare('SELECT count(*) AS count FROM objects WHERE sha256 IS NOT NULL').get()?.['count']
  if (Number(known) > wanted.size * 3) {
    const select = db.prepare('SELECT object FROM objects WHERE sha256 = ? AND size = ?')
    return (digest, size) => objectFile(select.get(digest, size)?.['object'])
  }
  const objects = new Map<unknown, { readonly object: unknown; readonly size: unknown }>()
  for (const row of db.prepare('SELECT sha256, size, object FROM objects WHERE sha256 IS NOT NULL').iterate())
    objects.set(row['sha256'], { object: row['object'], size: row['size'] })
  return (digest, size) => {
    const row = objects.get(digest)
    return row?.size === size ? objectFile(row.object) : undefined
  }
}

function selectChunks(db: DatabaseSync, scheme: string, wanted: readonly WantedChunks[]): Map<Digest, ChunkPlace> {
  const found = new Map<Digest, ChunkPlace>()
  const select = db.prepare('SELECT object, start, length FROM chunks WHERE scheme = ? AND digest = ?')
  for (const { digests } of wanted)
    for (const digest of digests) {
      const row = select.get(scheme, digest)
      const [object] = digestIn(row?.['object'])
      const [offset, length] = [row?.['start'], row?.['length']]
      if (object !== undefined && typeof offset === 'number' && typeof length === 'number')
        found.set(digest, { object, offset, length })
    }
  return found
}

/** Chunks of different schemes have different names, as a digest alone says nothing of where else to cut. */
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

function objectFile(object: unknown): HeldFile | undefined {
  const [digest] = digestIn(object)
  return digest === undefined ? undefined : { kind: 'object', object: digest }
}

function inlineFile(bytes: unknown): HeldFile | undefined {
  return bytes instanceof Uint8Array && bytes.length <= inlineMax ? { kind: 'inline', bytes } : undefined
}

/** Rows become paths: one that is no digest is none. */
function digestIn(value: unknown): VerityDigest[] {
  return typeof value === 'string' && isDigest(`sha256:${value}`) ? [parseVerityDigest(value)] : []
}

function textsOf(db: DatabaseSync, query: string): string[] {
  const names = db.prepare(query).all()
  return names.map((row) => row['name']).filter((name) => typeof name === 'string')
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
