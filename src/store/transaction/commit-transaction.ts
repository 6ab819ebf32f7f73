import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { writeAll } from '../../linux/descriptor-io.ts'
import { fileError, makeFolder } from '../store-files.ts'
import { type Hold, readHolds } from './holds.ts'
import { type Folder, folders, imagePath, lockFile, objectPath, recipePath } from '../store-layout.ts'

/**
 * Gives everything in a transaction's folder its name in the store. The data is synced before; it is called under the
 * store's lock, shared.
 *
 * The order is that of need: an object before the recipe that names it, a recipe before its record, a record before the
 * ref. Whenever it stops half way, what has a name is whole, and nothing that is named misses what it names.
 */
export function nameEverything(root: string, transaction: string): void {
  for (const folder of folders) {
    try {
      nameIn(`${transaction}/${folder}`, `${root}/${folder}`, folder)
    } catch (error) {
      throw fileError(`give ${folder} their names from`, transaction, error)
    }
  }
}

function nameIn(from: string, to: string, folder: Folder): void {
  // Facts and names may change: the latest commit wins.
  if (folder === 'records' || folder === 'refs') return nameAll(from, to)
  if (folder !== 'objects' && folder !== 'blobs') return nameNew(from, to)
  for (const name of readdirSync(from)) nameFanOut(`${from}/${name}`, `${to}/${name}`)
}

function nameAll(from: string, to: string): void {
  for (const name of readdirSync(from)) renameSync(`${from}/${name}`, `${to}/${name}`)
}

/**
 * Names a folder of the fan-out. One rename names all files of a folder that the store does not have yet; that is most
 * of a first pull. (Two commits at once: rename(2) refuses to replace a folder with something in it.)
 */
function nameFanOut(from: string, to: string): void {
  if (!existsSync(to)) {
    try {
      return renameSync(from, to)
    } catch {
      makeFolder(to)
    }
  }
  nameNew(from, to)
}

/**
 * Names the files that are not there. A file under a digest is never replaced: mounts have it open, and its pages are
 * in the cache.
 */
function nameNew(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    const target = `${to}/${name}`
    if (!existsSync(target)) renameSync(`${from}/${name}`, target)
  }
}

/** Throws BUSY unless everything that the transaction holds is in the store, or staged. */
export function checkHolds(root: string, transaction: string): void {
  for (const hold of readHolds(transaction)) {
    if (existsSync(heldPath(root, hold)) || existsSync(heldPath(transaction, hold))) continue
    throw new OnefoldError(
      'BUSY',
      `Cannot commit: ${holdNames[hold.kind]} ${hold.digest} was in the store and has been removed meanwhile`,
      { hint: 'Run the command again: it continues from what it has.' },
    )
  }
}

const holdNames = { o: 'object', l: 'recipe', i: 'image' } as const

function heldPath(root: string, hold: Hold): string {
  switch (hold.kind) {
    case 'o':
      return objectPath(root, hold.digest)
    case 'l':
      return recipePath(root, hold.digest)
    case 'i':
      return imagePath(root, hold.digest)
  }
}

/**
 * The generation, which changes with every part of a garbage collection that takes names away (the lock file holds it).
 * While it stays the same, what was looked up is still there.
 */
export function readGeneration(root: string): string {
  return readFileSync(`${root}/${lockFile}`, 'latin1')
}

export function newGeneration(): Uint8Array {
  return Buffer.from(randomUUID())
}

/** Changes the generation in place: a full disk may have no other block. */
export function changeGeneration(root: string): void {
  const path = `${root}/${lockFile}`
  try {
    const fd = openSync(path, 'r+')
    try {
      writeAll(fd, newGeneration())
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw fileError('write', path, error)
  }
}
