/**
 * `index.db`: which records know a layer. Derived from `records/`, and never believed: what it leads to is read there.
 *
 *     records (name)          those that `layers` is complete for
 *     layers (key, record)    key: "diff <diffID>" or "blob <blob digest>"
 *
 * It is brought up to date with the folder of records each time it is opened, so that nothing depends on its having
 * been written: it may be deleted, damaged or foreign, and costs time then. There is no journal beside it, which would
 * outlive a deleted database and spoil the next one; a write that was cut short leaves `user_version` at `dirty`.
 */
import { rmSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { type Digest, type DiffId, isDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import { fileError } from './files.ts'
import { indexFile } from './layout.ts'
import type { ImageRecord, LayerRecord } from './record.ts'
import { listRecords, readRecord } from './records.ts'

export type LayerKey = { readonly diffId: DiffId } | { readonly blob: Digest }

const clean = 1
const dirty = 2
/** Another process may be bringing it up to date. */
const busyMs = 5000

type Sqlite = typeof import('node:sqlite')

/** Loaded when the first layer is looked for: most commands never do. */
export async function openIndex(root: string): Promise<LayerIndex> {
  return new LayerIndex(root, await import('node:sqlite'))
}

export class LayerIndex implements Disposable {
  readonly #root: string
  readonly #sqlite: Sqlite
  #db: DatabaseSync

  constructor(root: string, sqlite: Sqlite) {
    this.#root = root
    this.#sqlite = sqlite
    this.#db = this.#open()
  }

  /**
   * A layer with a proven diffID from the records of the store: what its tar holds is known then, whatever image or
   * compression it came in. A diffID that a manifest merely claims proves nothing.
   */
  find(want: LayerKey): LayerRecord | undefined {
    for (const name of this.#recordsWith(want)) {
      const layer = readable(this.#root, name)?.layers.find((candidate) => isWanted(candidate, want))
      if (layer !== undefined) return layer
    }
    return undefined
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }

  #recordsWith(want: LayerKey): Digest[] {
    try {
      return select(this.#db, want)
    } catch (error) {
      if (!isDamage(error)) throw this.#failed(error)
      this.#db.close()
      this.#db = this.#rebuild()
      return select(this.#db, want)
    }
  }

  #open(): DatabaseSync {
    try {
      return this.#openAs()
    } catch (error) {
      if (!isDamage(error)) throw this.#failed(error)
      return this.#rebuild()
    }
  }

  #rebuild(): DatabaseSync {
    try {
      rmSync(this.#path, { force: true })
      return this.#openAs()
    } catch (error) {
      throw this.#failed(error)
    }
  }

  #openAs(): DatabaseSync {
    const db = new this.#sqlite.DatabaseSync(this.#path, { timeout: busyMs })
    try {
      prepare(db)
      update(db, this.#root)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  }

  get #path(): string {
    return `${this.#root}/${indexFile}`
  }

  #failed(error: unknown): Error {
    return fileError('use the index', this.#path, error)
  }
}

/** Whether a layer is what is looked for, and known to be. */
export function isWanted(layer: LayerRecord, want: LayerKey): boolean {
  return layer.proof === 'proven' && ('diffId' in want ? layer.diffId === want.diffId : layer.blob.digest === want.blob)
}

/** A damaged record is for fsck to report; here it is one that knows nothing. */
function readable(root: string, name: Digest): ImageRecord | undefined {
  try {
    return readRecord(root, name)
  } catch (error) {
    if (hasCode(error, 'BAD_FORMAT') || hasCode(error, 'CORRUPT') || hasCode(error, 'LIMIT')) return undefined
    throw error
  }
}

function select(db: DatabaseSync, want: LayerKey): Digest[] {
  const key = 'diffId' in want ? `diff ${want.diffId}` : `blob ${want.blob}`
  return digestsOf(db, 'SELECT record AS name FROM layers WHERE key = ? ORDER BY record', key)
}

function digestsOf(db: DatabaseSync, query: string, ...values: string[]): Digest[] {
  const names = db
    .prepare(query)
    .all(...values)
    .map((row) => row['name'])
  return names.filter((name) => typeof name === 'string').filter(isDigest)
}

class Damaged extends Error {}

/** Tables of another shape are found by the queries; what could make a query do more than it says is found here. */
function prepare(db: DatabaseSync): void {
  db.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF')
  const version = db.prepare('PRAGMA user_version').get()?.['user_version']
  if (version === 0) return create(db)
  const schema = db.prepare("SELECT count(*) AS count FROM sqlite_schema WHERE type IN ('view', 'trigger')").get()
  if (version !== clean || schema?.['count'] !== 0) throw new Damaged('the index was not written to its end')
}

function create(db: DatabaseSync): void {
  db.exec(`BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS records (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS layers (key TEXT, record TEXT, PRIMARY KEY (key, record)) WITHOUT ROWID;
    PRAGMA user_version = ${clean};
    COMMIT`)
}

/** The difference between the folder and the table is what has happened since; records never change what they know. */
function update(db: DatabaseSync, root: string): void {
  const files = new Set(listRecords(root))
  const known = new Set(digestsOf(db, 'SELECT name FROM records'))
  const gone = [...known].filter((name) => !files.has(name))
  const added = [...files].filter((name) => !known.has(name))
  if (gone.length === 0 && added.length === 0) return
  // Without a journal on disk, a process killed in the middle leaves half of it: the mark comes before, in a transaction
  // of its own.
  db.exec(`PRAGMA user_version = ${dirty}`)
  db.exec('BEGIN IMMEDIATE')
  const forget = db.prepare('DELETE FROM layers WHERE record = ?')
  const forgetName = db.prepare('DELETE FROM records WHERE name = ?')
  for (const name of gone) {
    forget.run(name)
    forgetName.run(name)
  }
  const learn = db.prepare('INSERT OR IGNORE INTO layers VALUES (?, ?)')
  const learnName = db.prepare('INSERT OR IGNORE INTO records VALUES (?)')
  for (const name of added) {
    for (const layer of readable(root, name)?.layers ?? []) {
      learn.run(`diff ${layer.diffId}`, name)
      learn.run(`blob ${layer.blob.digest}`, name)
    }
    learnName.run(name)
  }
  db.exec('COMMIT')
  db.exec(`PRAGMA user_version = ${clean}`)
}

/** NOTADB, CORRUPT, or tables that are not ours (a SQL error). A full disk or a lock that stays is none of these. */
function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return typeof code === 'number' && [1, 11, 26].includes(code & 0xff)
}
