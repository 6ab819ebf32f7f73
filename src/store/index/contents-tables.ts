/**
 * In `index.db`: what the store holds, by the names that tables of contents use. Derived on first need from recipes and
 * objects, and never believed: whoever uses a row hashes what it leads to.
 *
 *     recipes_read (name)                            those that `objects`, `inlines` and `places` have
 *     objects (object, size, sha256)                 sha256: hashed when a file of that size is first looked for
 *     inlines (sha256, bytes)                        files that are too small for an object
 *     places (path, name, object)                    where objects of a certain size stand in layers
 *     chunks (scheme, digest, object, start, length) parts of objects that were cut as `scheme` cuts
 *     cuts (scheme, object)                          objects that `chunks` has
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { type Digest, type VerityDigest, isDigest, parseVerityDigest } from '../../digest.ts'
import { inlineMax } from '../../formats/entry.ts'
import type { RecipeContents } from '../recipes/recipe-contents.ts'
import type { ChunkPlace, HeldFile, WantedChunks } from './content-places.ts'
import type { Cut } from './cut-object.ts'
import { changing } from './database.ts'

/** Memory for the database. Digests are scattered: with less of it, every lookup would be a read. */
const cacheKiB = 64 * 1024
/** Number of other versions of one file that are looked into. */
const versionsMax = 2

/** An object with its sha256. */
export type LearnedObject = readonly [sha256: Digest, object: VerityDigest, size: number]

export function createTables(db: DatabaseSync): void {
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

/** Names of the recipes that the tables have. */
export function selectRecipes(db: DatabaseSync): Set<string> {
  const names = db.prepare('SELECT name FROM recipes_read').all()
  return new Set(names.map((row) => row['name']).filter((name) => typeof name === 'string'))
}

export function insertRecipe(db: DatabaseSync, name: string, contents: RecipeContents): void {
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
}

export function insertObjects(db: DatabaseSync, objects: Iterable<LearnedObject>): void {
  const learn = db.prepare(
    'INSERT INTO objects VALUES (?, ?, ?) ON CONFLICT (object) DO UPDATE SET sha256 = excluded.sha256',
  )
  changing(db, () => {
    for (const [sha256, object, size] of objects) learn.run(object, size, sha256)
  })
}

/** Deletes all rows of some objects; recipes are read again for what else they have. */
export function deleteObjects(db: DatabaseSync, objects: Iterable<VerityDigest>): void {
  const statements = ['objects', 'chunks', 'cuts'].map((table) => db.prepare(`DELETE FROM ${table} WHERE object = ?`))
  const reread = db.prepare('DELETE FROM recipes_read')
  changing(db, () => {
    for (const object of objects) for (const statement of statements) statement.run(object)
    reread.run()
  })
}

/** Adds files to `found`; returns those of which nothing is known. */
export function selectFiles(
  db: DatabaseSync,
  wanted: ReadonlyMap<Digest, number>,
  found: Map<Digest, HeldFile>,
): Map<Digest, number> {
  const missing = new Map<Digest, number>()
  const objects = objectFinder(db, wanted)
  const inlines = db.prepare('SELECT bytes FROM inlines WHERE sha256 = ?')
  for (const [digest, size] of wanted) {
    const file = size <= inlineMax ? inlineFile(inlines.get(digest)?.['bytes']) : objects(digest, size)
    if (file === undefined) missing.set(digest, size)
    else found.set(digest, file)
  }
  return missing
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

/** Objects of certain sizes that have not been hashed. */
export function selectUnhashed(db: DatabaseSync, sizes: ReadonlySet<number>): VerityDigest[] {
  const select = db.prepare('SELECT object FROM objects WHERE size = ? AND sha256 IS NULL')
  return [...sizes].flatMap((size) => select.all(size).flatMap((row) => digestIn(row['object'])))
}

/** Objects that stood under the same path, or else the same name, of about the same size. */
export function selectVersions(db: DatabaseSync, { path, size }: WantedChunks): VerityDigest[] {
  const query = (column: string): StatementSync =>
    db.prepare(`SELECT places.object AS object FROM places JOIN objects ON objects.object = places.object
          WHERE places.${column} = ? ORDER BY abs(objects.size - ?), places.object LIMIT ${versionsMax}`)
  const same = query('path').all(path, size)
  const rows = same.length > 0 ? same : query('name').all(nameOf(path), size)
  return rows.flatMap((row) => digestIn(row['object']))
}

export function isCut(db: DatabaseSync, scheme: string, object: VerityDigest): boolean {
  return db.prepare('SELECT 1 AS cut FROM cuts WHERE scheme = ? AND object = ?').get(scheme, object) !== undefined
}

export function insertChunks(db: DatabaseSync, scheme: string, object: VerityDigest, chunks: readonly Cut[]): void {
  const learn = db.prepare('INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?, ?)')
  const learnCut = db.prepare('INSERT OR IGNORE INTO cuts VALUES (?, ?)')
  changing(db, () => {
    for (const { sha256, offset, length } of chunks) learn.run(scheme, `sha256:${sha256}`, object, offset, length)
    learnCut.run(scheme, object)
  })
}

export function selectChunks(
  db: DatabaseSync,
  scheme: string,
  wanted: readonly WantedChunks[],
): Map<Digest, ChunkPlace> {
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

function objectFile(object: unknown): HeldFile | undefined {
  const [digest] = digestIn(object)
  return digest === undefined ? undefined : { kind: 'object', object: digest }
}

function inlineFile(bytes: unknown): HeldFile | undefined {
  return bytes instanceof Uint8Array && bytes.length <= inlineMax ? { kind: 'inline', bytes } : undefined
}

/** The digest in a row. Rows become paths: one that is no digest is none. */
function digestIn(value: unknown): VerityDigest[] {
  return typeof value === 'string' && isDigest(`sha256:${value}`) ? [parseVerityDigest(value)] : []
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
