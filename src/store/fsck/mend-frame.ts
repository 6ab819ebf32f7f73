import { existsSync, lstatSync } from 'node:fs'
import { OnefoldError } from '../../error.ts'
import { makeFolder, replaceFile } from '../store-files.ts'
import { requireOwn } from '../store-folder.ts'
import { folders, lockFile, storeFile, tmpFolder } from '../store-layout.ts'
import { formatSettings, readSettings } from '../store-settings.ts'
import { newGeneration } from '../transaction/commit-transaction.ts'
import { temporaryFile } from './checked.ts'

/**
 * Makes again what a store cannot be opened without: its folders, its lock, and store.json, which says the same in every
 * store but for settings, which go back to what they are in a new one. Does nothing where there is no store.
 */
export function mendFrame(root: string): void {
  if (![...folders, storeFile].some((name) => existsSync(`${root}/${name}`))) return
  requireOwn(root)
  for (const name of [...folders, tmpFolder]) if (!existsSync(`${root}/${name}`)) makeFolder(`${root}/${name}`)
  const seen = lstatSync(`${root}/${lockFile}`, { throwIfNoEntry: false })
  if (seen === undefined) replaceFile(`${root}/${lockFile}`, newGeneration(), temporaryFile(root))
  try {
    if (readSettings(root) !== undefined) return
  } catch (error) {
    // A version that is newer is none that we could write.
    if (!(error instanceof OnefoldError) || error.code === 'UNSUPPORTED' || error.code === 'DENIED') throw error
  }
  replaceFile(`${root}/${storeFile}`, formatSettings({ verity: 'auto' }), temporaryFile(root))
}
