import { closeSync, existsSync, lstatSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { OnefoldError, errnoOf } from '../../error.ts'
import { syncfsAsync } from '../../linux/file.ts'
import type { VerityDigest } from '../../digest.ts'
import { changeGeneration } from '../transaction/commit-transaction.ts'
import { fileError, makeFolder, replaceFile, syncFolder } from '../store-files.ts'
import { formatHolds } from '../transaction/holds.ts'
import { missingFile, quarantineFolder } from '../store-layout.ts'
import { lockStore } from '../store-lock.ts'
import { temporaryFile } from './checked.ts'

/**
 * Moves files away from their names, so that nobody takes them for what they are not. Under the exclusive lock and with a
 * new generation, as a garbage collection does: a transaction that relied on one of them is told so when it commits, and
 * brings it in again. Each move is one rename; whenever this stops, a file is at one place or the other, and the next
 * check finds it damaged or missing.
 *
 * Returns where each file is now, below the root; those that were gone are left out.
 */
export async function quarantine(
  root: string,
  files: readonly string[],
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const moved = new Map<string, string>()
  if (files.length === 0) return moved
  requireRealFolder(root)
  using _lock = await lockStore(root, 'exclusive', signal)
  changeGeneration(root)
  for (const file of files) {
    const place = freePlace(root, file)
    try {
      makeFolder(dirname(`${root}/${place}`))
      renameSync(`${root}/${file}`, `${root}/${place}`)
      moved.set(file, place)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError('quarantine', `${root}/${file}`, error)
    }
  }
  await syncRoot(root)
  return moved
}

/** `objects/ab/cd…` becomes `quarantine/objects/abcd…`: one folder for each kind. A second one of a name gets a number. */
function freePlace(root: string, file: string): string {
  const [folder = '', ...rest] = file.split('/')
  const place = `${quarantineFolder}/${folder}/${rest.join(folder === 'blobs' ? ':' : '')}`
  for (let number = 1; ; number++) {
    const numbered = number === 1 ? place : `${place}.${number}`
    if (lstatSync(`${root}/${numbered}`, { throwIfNoEntry: false }) === undefined) return numbered
  }
}

function requireRealFolder(root: string): void {
  const seen = lstatSync(`${root}/${quarantineFolder}`, { throwIfNoEntry: false })
  if (seen === undefined || seen.isDirectory()) return
  throw new OnefoldError('CORRUPT', `Cannot quarantine anything in "${root}/${quarantineFolder}": it is not a folder`, {
    hint: 'Look at what it is, and move it away.',
  })
}

async function syncRoot(root: string): Promise<void> {
  const fd = openSync(root, 'r')
  try {
    await syncfsAsync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Notes down what pulls must not take for present. */
export function writeMissing(root: string, objects: readonly VerityDigest[]): void {
  const path = `${root}/${missingFile}`
  if (objects.length > 0) return replaceFile(path, formatHolds('o', objects), temporaryFile(root))
  if (!existsSync(path)) return
  rmSync(path, { force: true, recursive: false })
  syncFolder(root)
}
