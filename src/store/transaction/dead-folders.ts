import { closeSync, existsSync, openSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { errnoOf } from '../../error.ts'
import { tryFlock } from '../../linux/flock.ts'
import { listAside, nameAgain } from '../gc/aside.ts'
import { fileError, listFolder } from '../store-files.ts'
import { tmpFolder } from '../store-layout.ts'
import { tryLockCollector } from '../store-lock.ts'

/** A folder of `tmp/` whose owner has died, and is ours now: the lock in it says so to everybody else. */
export interface DeadFolder {
  readonly path: string
  readonly lock: number
}

const idSyntax = /^[0-9a-f]{16}$/
/**
 * Names of folders on their way out, which are nobody's: whoever meets one deletes the rest. So are the files a store
 * is made with, `new-…`: who meets them has opened the finished store, and who still makes it finds all that it wanted
 * to make.
 */
const condemnedSyntax = /^([0-9a-f]{16}\.dead|new-[0-9a-f-]{36})$/

/** Paths of all folders of transactions, living or dead. */
export function listOwned(root: string): string[] {
  return listTemporary(root, idSyntax)
}

export function listCondemned(root: string): string[] {
  return listTemporary(root, condemnedSyntax)
}

function listTemporary(root: string, syntax: RegExp): string[] {
  return listFolder(`${root}/${tmpFolder}`)
    .filter((name) => syntax.test(name))
    .map((name) => `${root}/${tmpFolder}/${name}`)
}

/** Takes the lock of every folder that nobody holds; `removeDead` ends that. */
export function seizeDead(root: string): DeadFolder[] {
  return listOwned(root)
    .map(seize)
    .filter((dead) => dead !== undefined)
}

function seize(path: string): DeadFolder | undefined {
  try {
    const lock = openSync(`${path}/lock`, 'a')
    if (tryFlock(lock, 'exclusive')) return { path, lock }
    closeSync(lock)
    return undefined
  } catch (error) {
    // Somebody else was quicker.
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError('clean up', path, error)
  }
}

export function isAlive(path: string): boolean {
  const dead = seize(path)
  if (dead !== undefined) closeSync(dead.lock)
  return dead === undefined && existsSync(path)
}

/** Deletes dead folders, and undoes what a garbage collection that was killed had begun. */
export async function removeDead(root: string, folders: readonly DeadFolder[]): Promise<void> {
  for (const { path, lock } of folders) {
    try {
      await removeOwned(path)
    } finally {
      closeSync(lock)
    }
  }
  for (const path of listCondemned(root)) await removeCondemned(path)
  putBackAside(root)
}

/** Puts back what lies aside: living transactions may hold it. A collection that is at work puts it back itself. */
function putBackAside(root: string): void {
  if (listAside(root).length === 0) return
  using collecting = tryLockCollector(root)
  if (collecting !== undefined) nameAgain(root)
}

/**
 * Deletes a folder whose lock the caller holds. It loses its name first: another process may be about to lock a folder
 * that it found without a lock, and must not be let into one that is half deleted.
 */
export async function removeOwned(path: string): Promise<void> {
  const condemned = `${path}.dead`
  try {
    renameSync(path, condemned)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw fileError('clean up', path, error)
  }
  await removeCondemned(condemned)
}

async function removeCondemned(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    // Two may be deleting it at once; what one of them leaves, the next transaction finds.
    if (!['ENOENT', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw fileError('clean up', path, error)
  }
}
