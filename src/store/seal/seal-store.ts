import { randomUUID } from 'node:crypto'
import { closeSync, openSync } from 'node:fs'
import type { AbortOptions } from '../../abort.ts'
import { OnefoldError } from '../../error.ts'
import { syncfsAsync } from '../../linux/file.ts'
import { enableVerityAsync } from '../../linux/fs-verity.ts'
import { dropTemporary, replaceFile, writeFile } from '../store-files.ts'
import { storeFile, tmpFolder } from '../store-layout.ts'
import { lockStore, tryLockCollector } from '../store-lock.ts'
import { type VerityPolicy, formatSettings } from '../store-settings.ts'
import { type Sealed, sealAll, unable } from './seal-files.ts'

/**
 * Changes whether a store seals its files, and seals what it has (unless the new setting is `off`, which leaves sealed
 * files as they are: nothing can unseal them). UNSUPPORTED, and no change, when everything is to be sealed and the file
 * system cannot.
 */
export async function setVerityPolicy(root: string, policy: VerityPolicy, options: AbortOptions = {}): Promise<Sealed> {
  using collecting = tryLockCollector(root)
  if (collecting === undefined)
    throw new OnefoldError('BUSY', `Cannot change the store "${root}": a garbage collection, or a check, is at it`)
  const able = await canSeal(root)
  if (!able && policy === 'require') throw unable(root)
  const seal = able && policy !== 'off' ? sealAll : sealNothing
  const first = await seal(root, options.signal)
  // Commits read the setting under the shared lock: what they added since is sealed now, what they add later, by them.
  using _lock = await lockStore(root, 'exclusive', options.signal)
  const rest = await seal(root, options.signal)
  await sync(root)
  replaceFile(`${root}/${storeFile}`, formatSettings({ verity: policy }), temporary(root))
  return { sealed: first.sealed + rest.sealed, already: first.already, able }
}

async function sealNothing(): Promise<Sealed> {
  return { sealed: 0, already: 0, able: true }
}

/**
 * Whether files can be sealed. Only a file tells: what the file system and the kernel each say of themselves is not
 * enough.
 */
async function canSeal(root: string): Promise<boolean> {
  const path = temporary(root)
  try {
    writeFile(path, new Uint8Array(1))
    const fd = openSync(path, 'r')
    try {
      return await enableVerityAsync(fd)
    } finally {
      closeSync(fd)
    }
  } finally {
    dropTemporary(path)
  }
}

/**
 * Writes seals to the disk. They are metadata of the file system, and have to be there before a setting that relies on
 * them.
 */
async function sync(root: string): Promise<void> {
  const fd = openSync(root, 'r')
  try {
    await syncfsAsync(fd)
  } finally {
    closeSync(fd)
  }
}

/** A name that a garbage collection deletes when we cannot. */
function temporary(root: string): string {
  return `${root}/${tmpFolder}/ref-${randomUUID()}`
}
