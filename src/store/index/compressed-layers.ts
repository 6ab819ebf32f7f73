/**
 * In `index.db`: what layers came out as when they were compressed here, so that a target can be asked whether it has
 * them before anything is compressed.
 *
 *     compressed (key, digest, size)     key: "<how> <diffID>", where `how` names the compressor and its version
 *
 * It saves work and proves nothing: what it names is compressed again where it is not found, or not believed.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Digest, type DiffId, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { Database, changing } from './database.ts'
import { requireOwn } from '../store-folder.ts'

export interface CompressedLayer {
  readonly digest: Digest
  readonly size: number
}

export interface CompressedLayers extends Disposable {
  find(diffId: DiffId, how: string): CompressedLayer | undefined
  add(diffId: DiffId, how: string, layer: CompressedLayer): void
}

/**
 * Opens the table. Who may read a store and not write to it, or finds the index locked or its disk full, remembers
 * nothing.
 */
export async function openCompressed(root: string): Promise<CompressedLayers> {
  const sqlite = await import('node:sqlite')
  const database = unlessFailed(() => {
    requireOwn(root)
    return new Database(root, sqlite, prepare)
  })
  return {
    find: (diffId, how) => unlessFailed(() => database?.use((db) => select(db, keyOf(diffId, how)))),
    add(diffId, how, { digest, size }) {
      const insert = 'INSERT OR REPLACE INTO compressed VALUES (?, ?, ?)'
      const write = (db: DatabaseSync): void =>
        changing(db, () => void db.prepare(insert).run(keyOf(diffId, how), digest, size))
      unlessFailed(() => database?.use(write))
    },
    [Symbol.dispose]: () => database?.[Symbol.dispose](),
  }
}

function unlessFailed<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (error instanceof OnefoldError) return undefined
    throw error
  }
}

function keyOf(diffId: DiffId, how: string): string {
  return `${how} ${diffId}`
}

function select(db: DatabaseSync, key: string): CompressedLayer | undefined {
  const { digest, size } = db.prepare('SELECT digest, size FROM compressed WHERE key = ?').get(key) ?? {}
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  return typeof size === 'number' && Number.isSafeInteger(size) && size > 0 ? { digest, size } : undefined
}

function prepare(db: DatabaseSync): void {
  db.exec('CREATE TABLE IF NOT EXISTS compressed (key TEXT PRIMARY KEY, digest TEXT, size INTEGER) WITHOUT ROWID')
}
