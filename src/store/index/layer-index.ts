/**
 * In `index.db`: which records know a layer. Derived from `records/`, and never believed: what it leads to is read
 * there.
 *
 *     records (name)          those that `layers` is complete for
 *     layers (key, record)    key: "diff <diffID>" or "blob <blob digest>"
 *
 * It is brought up to date with the folder of records each time it is opened, so that nothing depends on its having
 * been written.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Digest, type DiffId, isDigest } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { Database, changing } from './database.ts'
import type { ImageRecord, LayerRecord } from '../records/image-record.ts'
import { listRecords, readRecord } from '../records/record-files.ts'

export type LayerKey =
  | { readonly diffId: DiffId }
  | { readonly blob: Digest }
  /** Known only by its table of contents, which is good for the very same blob and table. */
  | { readonly blob: Digest; readonly toc: Digest }

/** Opens the index. SQLite is loaded when the first layer is looked for: most commands never do. */
export async function openIndex(root: string): Promise<LayerIndex> {
  const sqlite = await import('node:sqlite')
  return new LayerIndex(root, new Database(root, sqlite, (db) => update(db, root)))
}

export class LayerIndex implements Disposable {
  readonly #root: string
  readonly #database: Database

  constructor(root: string, database: Database) {
    this.#root = root
    this.#database = database
  }

  /**
   * Finds a layer with a proven diffID in the records of the store: what its tar holds is known then, whatever image or
   * compression it came in. A diffID that a manifest merely claims proves nothing.
   */
  find(want: LayerKey): LayerRecord | undefined {
    for (const name of this.#database.use((db) => select(db, want))) {
      const layer = readable(this.#root, name)?.layers.find((candidate) => isWanted(candidate, want))
      if (layer !== undefined) return layer
    }
    return undefined
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]()
  }
}

/** Whether a layer is what is looked for, and known to be. */
export function isWanted(layer: LayerRecord, want: LayerKey): boolean {
  if ('toc' in want)
    return layer.proof === 'toc-only' && layer.blob.digest === want.blob && layer.toc?.digest === want.toc
  return layer.proof === 'proven' && ('diffId' in want ? layer.diffId === want.diffId : layer.blob.digest === want.blob)
}

/** Reads a record. A damaged one is for fsck to report; here it is one that knows nothing. */
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

/**
 * Brings the table up to date: the difference to the folder is what has happened since. Records never change what they
 * know.
 */
function update(db: DatabaseSync, root: string): void {
  db.exec(`CREATE TABLE IF NOT EXISTS records (name TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS layers (key TEXT, record TEXT, PRIMARY KEY (key, record)) WITHOUT ROWID`)
  const files = new Set(listRecords(root))
  const known = new Set(digestsOf(db, 'SELECT name FROM records'))
  const gone = [...known].filter((name) => !files.has(name))
  const added = [...files].filter((name) => !known.has(name))
  if (gone.length === 0 && added.length === 0) return
  changing(db, () => {
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
  })
}
