import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { errnoOf } from '../../error.ts'
import { tryFlock } from '../../linux/flock.ts'
import { fileError, writeFile } from '../store-files.ts'
import { folders, tmpFolder } from '../store-layout.ts'
import { lockStore } from '../store-lock.ts'
import { adoptLayers } from './adopt-layers.ts'
import { type DeadFolder, removeDead, seizeDead } from './dead-folders.ts'
import { Transaction } from './transaction.ts'

/** Makes `tmp/<id>/` and takes its lock. */
export function createFolder(root: string): { folder: string; lock: number } {
  for (;;) {
    const folder = `${root}/${tmpFolder}/${randomBytes(8).toString('hex')}`
    try {
      mkdirSync(folder, { mode: 0o700 })
      const lock = openSync(`${folder}/lock`, 'a')
      // Between mkdir and flock the folder looks dead: whoever cleans up may have locked it, or be taking it away, in
      // which case there is nothing to open any more. Then another is made.
      if (tryFlock(lock, 'exclusive') && existsSync(folder)) return { folder, lock }
      closeSync(lock)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || !existsSync(`${root}/${tmpFolder}`)) throw fileError('make', folder, error)
    }
  }
}

/** Begins a transaction. Cleans up after the dead first, and takes up what they had finished. */
export async function beginTransaction(root: string): Promise<Transaction> {
  const transaction = await createTransaction(root)
  try {
    const dead = seizeDead(root)
    try {
      if (dead.length > 0) await adopt(root, transaction, dead)
    } finally {
      await removeDead(root, dead)
    }
    return transaction
  } catch (error) {
    await transaction[Symbol.asyncDispose]()
    throw error
  }
}

/** Makes finished layers of transactions whose process died those of a new one. */
async function adopt(root: string, transaction: Transaction, dead: readonly DeadFolder[]): Promise<void> {
  using staging = transaction.staging('adopted')
  for (const layer of await adoptLayers(root, dead, staging)) transaction.noteLayer(layer)
}

/**
 * Makes the folder under the lock: a collection that has it, and has found nobody alive, need not look for holds again.
 */
async function createTransaction(root: string): Promise<Transaction> {
  using _lock = await lockStore(root, 'shared')
  const { folder, lock } = createFolder(root)
  try {
    for (const name of [...folders, 'files', 'notes']) mkdirSync(`${folder}/${name}`)
    writeFile(`${folder}/holds`, new Uint8Array())
    return new Transaction(root, folder, lock)
  } catch (error) {
    closeSync(lock)
    throw fileError('make', folder, error)
  }
}
