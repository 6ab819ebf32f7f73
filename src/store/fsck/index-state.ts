import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { indexFile } from '../store-layout.ts'
import type { ImageRecord } from '../records/image-record.ts'
import type { IndexState } from './fsck-report.ts'

/** A pull that is bringing it up to date takes this long at most; who does not end was killed. */
const tries = 5
const waitMs = 100
const busyMs = 5000
const clean = 1
const damage: ReadonlySet<number> = new Set([1, 11, 26])

/**
 * Compares the index with the records. It is never believed and made again when it cannot be used, so nothing of this is
 * damage: a killed pull, or the power, leaves any of these states.
 */
export async function indexState(root: string, records: ReadonlyMap<string, ImageRecord>): Promise<IndexState> {
  if (!existsSync(`${root}/${indexFile}`)) return 'none'
  const { DatabaseSync } = await import('node:sqlite')
  for (let attempt = 1; ; attempt++) {
    try {
      const db = new DatabaseSync(`${root}/${indexFile}`, { readOnly: true, timeout: busyMs })
      try {
        const version = db.prepare('PRAGMA user_version').get()?.['user_version']
        if (version === clean) return compare(db.prepare('SELECT name FROM records').all(), layersOf, records)
        if (attempt === tries) return 'behind'
      } finally {
        db.close()
      }
      function layersOf(): Record<string, unknown>[] {
        return db.prepare('SELECT key, record FROM layers').all()
      }
    } catch (error) {
      const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
      if (typeof code !== 'number') throw error
      if (damage.has(code & 0xff)) return 'damaged'
      if (attempt === tries) return 'behind'
    }
    await sleep(waitMs)
  }
}

type Rows = Record<string, unknown>[]

function compare(names: Rows, layersOf: () => Rows, records: ReadonlyMap<string, ImageRecord>): IndexState {
  const known = new Set(names.map(({ name }) => name))
  if (known.size > 0 && records.size > 0 && [...records.keys()].every((name) => !known.has(name))) return 'foreign'
  if (known.size !== records.size || [...records.keys()].some((name) => !known.has(name))) return 'behind'
  const rows = new Set(layersOf().map(({ key, record }) => `${String(key)} ${String(record)}`))
  const wanted = new Set<string>()
  for (const [name, { layers }] of records)
    for (const { diffId, blob } of layers) wanted.add(`diff ${diffId} ${name}`).add(`blob ${blob.digest} ${name}`)
  return rows.size === wanted.size && [...wanted].every((row) => rows.has(row)) ? 'current' : 'damaged'
}
