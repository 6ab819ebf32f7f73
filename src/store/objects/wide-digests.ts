/**
 * In `index.db`: what objects are called by fs-verity with sha512, as composefs-rs names them. Computed when it is first
 * asked for, since it costs reading every byte.
 *
 *     wide (object, digest)     128 hex digits
 *
 * The digests are compared with what somebody has sealed: a row that is wrong makes an image look altered, and who
 * may write here could alter the image itself.
 */
import { closeSync, readSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DatabaseSync } from 'node:sqlite'
import type { AbortOptions } from '../../abort.ts'
import type { Verity512Digest, VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { Verity512Hasher, VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { Database, changing } from '../index/database.ts'
import { fileError, openRegular } from '../store-files.ts'
import { objectPath } from '../store-layout.ts'

const chunkBytes = 1024 * 1024
const digestSyntax = /^[0-9a-f]{128}$/

export type WideDigests = ReadonlyMap<VerityDigest, Verity512Digest>

export interface WideOptions extends AbortOptions {
  /** Folders that hold `objects/`, the store itself among them. */
  readonly places: readonly string[]
}

/**
 * The sha512 digests of objects, remembered in the store at `root`.
 * @throws NOT_FOUND when an object is in none of the places, CORRUPT when it is not what its name says
 */
export async function wideDigests(
  root: string,
  objects: ReadonlySet<VerityDigest>,
  { places, signal }: WideOptions,
): Promise<WideDigests> {
  using database = new Database(root, await import('node:sqlite'), createTable)
  const found = database.use((db) => select(db, objects))
  const hashed = new Map<VerityDigest, Verity512Digest>()
  const hasher = new FileHasher512()
  for (const object of objects) {
    if (found.has(object)) continue
    hashed.set(object, hasher.hash(object, places))
    await nextTurn()
    signal?.throwIfAborted()
  }
  if (hashed.size > 0) database.use((db) => insert(db, hashed))
  return new Map([...found, ...hashed])
}

/**
 * Hashes objects. What is remembered outlives a repair, so an object has to be what its name says before it gets
 * another.
 */
class FileHasher512 {
  readonly #buffer = Buffer.allocUnsafe(chunkBytes)

  hash(object: VerityDigest, places: readonly string[]): Verity512Digest {
    const narrow = new VerityHasher()
    const wide = new Verity512Hasher()
    const fd = openObjectIn(object, places)
    try {
      for (let length = readSync(fd, this.#buffer); length > 0; length = readSync(fd, this.#buffer)) {
        const bytes = this.#buffer.subarray(0, length)
        narrow.update(bytes)
        wide.update(bytes)
      }
    } catch (error) {
      throw fileError('read', `object ${object}`, error)
    } finally {
      closeSync(fd)
    }
    if (narrow.digest() === object) return wide.digest()
    throw new OnefoldError('CORRUPT', `Cannot use object ${object}: its bytes have another digest`, {
      hint: 'onefold fsck --repair fetches it again.',
    })
  }
}

function openObjectIn(object: VerityDigest, places: readonly string[]): number {
  for (const place of places) {
    const file = openRegular(objectPath(place, object), `object ${object}`)
    if (file !== undefined) return file.fd
  }
  throw new OnefoldError('NOT_FOUND', `Cannot read object ${object}: the store has none`, {
    hint: 'onefold fsck tells which images are damaged.',
  })
}

function select(db: DatabaseSync, objects: ReadonlySet<VerityDigest>): Map<VerityDigest, Verity512Digest> {
  const statement = db.prepare('SELECT digest FROM wide WHERE object = ?')
  const found = new Map<VerityDigest, Verity512Digest>()
  for (const object of objects) {
    const digest = statement.get(object)?.['digest']
    if (typeof digest === 'string' && digestSyntax.test(digest)) found.set(object, digest as Verity512Digest)
  }
  return found
}

function insert(db: DatabaseSync, hashed: ReadonlyMap<VerityDigest, Verity512Digest>): void {
  const statement = db.prepare('INSERT OR REPLACE INTO wide VALUES (?, ?)')
  changing(db, () => {
    for (const [object, digest] of hashed) statement.run(object, digest)
  })
}

function createTable(db: DatabaseSync): void {
  db.exec('CREATE TABLE IF NOT EXISTS wide (object TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID')
}
