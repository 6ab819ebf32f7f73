/**
 * In `index.db`: what layers came out as when they were compressed here, so that a target can be asked whether it has
 * them before anything is compressed.
 *
 *     compressed (key, digest, size)     key: "<how> <diffID>", where `how` names the compressor and its version
 *
 * It saves work and proves nothing: what it names is compressed again where it is not found, or not believed.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Digest, type DiffId, isDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { Database, changing } from './database.ts'
import { requireOwn } from './folder.ts'

export interface CompressedLayer {
  readonly digest: Digest
  readonly size: number
}

export interface CompressedLayers extends Disposable {
  find(diffId: DiffId, how: string): CompressedLayer | undefined
  add(diffId: DiffId, how: string, layer: CompressedLayer): void
}

/** Who may read a store and not write to it remembers nothing. */
export async function openCompressed(root: string): Promise<CompressedLayers> {
  const sqlite = await import('node:sqlite')
  try {
    requireOwn(root)
    return remembering(new Database(root, sqlite, prepare))
  } catch (error) {
    if (error instanceof OnefoldError) return { find: () => undefined, add() {}, [Symbol.dispose]() {} }
    throw error
  }
}

function remembering(database: Database): CompressedLayers {
  return {
    find: (diffId, how) => database.use((db) => select(db, keyOf(diffId, how))),
    add: (diffId, how, { digest, size }) =>
      database.use((db) => {
        changing(db, () =>
          db.prepare('INSERT OR REPLACE INTO compressed VALUES (?, ?, ?)').run(keyOf(diffId, how), digest, size),
        )
      }),
    [Symbol.dispose]: () => database[Symbol.dispose](),
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
