/**
 * `index.db` as a file: SQLite, derived from everything else, and never believed. It may be deleted, damaged or foreign,
 * and is made again then, which costs time. There is no journal beside it, which would outlive a deleted database and
 * spoil the next one; a write that was cut short leaves `user_version` at `dirty`.
 */
import { rmSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { fileError } from '../store-files.ts'
import { indexFile } from '../store-layout.ts'

const clean = 1
const dirty = 2
/** Time to wait for another process, which may be bringing it up to date. */
const busyMs = 5000

type Sqlite = typeof import('node:sqlite')

export class Database implements Disposable {
  readonly #root: string
  readonly #sqlite: Sqlite
  readonly #prepare: (database: DatabaseSync) => void
  #db: DatabaseSync

  /** @param prepare makes tables that are missing and brings them up to date */
  constructor(root: string, sqlite: Sqlite, prepare: (database: DatabaseSync) => void) {
    this.#root = root
    this.#sqlite = sqlite
    this.#prepare = prepare
    this.#db = this.#open()
  }

  /** Uses the database; once more with a new one when this one is damaged. */
  use<T>(use: (database: DatabaseSync) => T): T {
    try {
      return use(this.#db)
    } catch (error) {
      if (!isDamage(error)) throw this.#failed(error)
      this.#db.close()
      this.#db = this.#rebuild()
      return use(this.#db)
    }
  }

  [Symbol.dispose](): void {
    this.#db.close()
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
      checkVersion(db)
      this.#prepare(db)
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

/**
 * Runs `change` as one transaction. Without a journal on disk, a process killed in the middle leaves half of it: the
 * mark comes before, in a transaction of its own.
 */
export function changing(db: DatabaseSync, change: () => void): void {
  db.exec(`PRAGMA user_version = ${dirty}`)
  db.exec('BEGIN IMMEDIATE')
  change()
  db.exec('COMMIT')
  db.exec(`PRAGMA user_version = ${clean}`)
}

class Damaged extends Error {}

/**
 * Refuses what was not written to its end, and what could make a query do more than it says. Tables of another shape
 * are found by the queries.
 */
function checkVersion(db: DatabaseSync): void {
  db.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF')
  const version = db.prepare('PRAGMA user_version').get()?.['user_version']
  if (version === 0) return db.exec(`PRAGMA user_version = ${clean}`)
  const schema = db.prepare("SELECT count(*) AS count FROM sqlite_schema WHERE type IN ('view', 'trigger')").get()
  if (version !== clean || schema?.['count'] !== 0) throw new Damaged('the index was not written to its end')
}

/**
 * Whether an error means damage: NOTADB, CORRUPT, or tables that are not ours (a SQL error). A full disk or a lock that
 * stays does not.
 */
function isDamage(error: unknown): boolean {
  if (error instanceof Damaged) return true
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return typeof code === 'number' && [1, 11, 26].includes(code & 0xff)
}
