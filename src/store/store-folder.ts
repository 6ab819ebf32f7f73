import { randomUUID } from 'node:crypto'
import { chmodSync, existsSync, linkSync, lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { OnefoldError, errnoOf } from '../error.ts'
import { newGeneration } from './transaction/commit-transaction.ts'
import { dropTemporary, fileError, makeFolder, syncFolder, writeSynced } from './store-files.ts'
import { folders, lockFile, storeFile, tmpFolder } from './store-layout.ts'
import { formatSettings, readSettings } from './store-settings.ts'

/**
 * Names that may lie in a folder that becomes a store: our own, when making it was interrupted, and a new file
 * system's.
 */
const ownNames: ReadonlySet<string> = new Set([...folders, tmpFolder, lockFile, 'lost+found'])

/** Makes sure that there is a store at `root`; NOT_FOUND when there is none and `create` is false. */
export function openFolder(root: string, create: boolean): string {
  const path = resolve(root)
  if (readSettings(path) !== undefined) {
    checkFolders(path)
    return path
  }
  if (!create)
    throw new OnefoldError('NOT_FOUND', `Cannot open the store "${path}": there is none`, {
      hint: 'A store is made by the first pull; name another one with --store.',
    })
  createStore(path)
  return path
}

/**
 * Requires that folders are folders: who can write to the root could redirect everything below to a place of his
 * choice.
 */
function checkFolders(root: string): void {
  for (const name of [...folders, tmpFolder, lockFile]) {
    const stat = lstatSync(`${root}/${name}`, { throwIfNoEntry: false })
    if (name === lockFile ? stat?.isFile() : stat?.isDirectory()) continue
    const found = stat === undefined ? 'is missing' : 'is something else'
    const expected = name === lockFile ? 'file' : 'folder'
    throw new OnefoldError('CORRUPT', `Cannot open the store "${root}": its ${expected} "${name}" ${found}`)
  }
}

/**
 * Throws DENIED unless the store is ours alone to write. Another user's may be read: nothing in it is followed or
 * believed. But who writes moves and deletes files by name, and somebody who can put a symlink in between would choose
 * which files those are.
 */
export function requireOwn(root: string): void {
  const { uid, mode } = lstatSync(root)
  const what = `Cannot change the store "${root}"`
  if (uid !== process.geteuid?.())
    throw new OnefoldError('DENIED', `${what}: it belongs to user ${uid}, expected ourselves`, {
      hint: 'Use it as that user, or a store of your own with --store.',
    })
  if ((mode & 0o022) !== 0)
    throw new OnefoldError('DENIED', `${what}: others can write to it (mode ${(mode & 0o777).toString(8)})`, {
      hint: `Make it yours alone: chmod go-w "${root}"`,
    })
}

function createStore(root: string): void {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    refuseForeign(root)
    // Objects are an image's files: some are nobody else's business.
    chmodSync(root, 0o700)
    for (const name of [...folders, tmpFolder]) makeFolder(`${root}/${name}`)
    createNew(`${root}/${lockFile}`, root, newGeneration())
    createNew(`${root}/${storeFile}`, root, formatSettings({ verity: 'auto' }))
    syncFolder(root)
  } catch (error) {
    throw fileError('create the store', root, error)
  }
}

function refuseForeign(root: string): void {
  const foreign = readdirSync(root).filter((name) => !ownNames.has(name))
  if (foreign.length === 0 || readSettings(root) !== undefined) return
  throw new OnefoldError(
    'EXISTS',
    `Cannot create a store in "${root}": the folder is not empty and not a store (it holds ${JSON.stringify(foreign[0])})`,
    { hint: 'Name an empty or new folder with --store.' },
  )
}

/**
 * Makes a file of a new store. Two processes may make the same store at once: the first file stays. When the other one
 * is ready, a transaction in its store may take our temporary file for one that a killed process has left, and delete
 * it.
 */
function createNew(path: string, root: string, bytes: Uint8Array): void {
  const temporary = `${root}/${tmpFolder}/new-${randomUUID()}`
  writeSynced(temporary, bytes)
  try {
    linkSync(temporary, path)
  } catch (error) {
    const isThere = errnoOf(error) === 'EEXIST' || (errnoOf(error) === 'ENOENT' && existsSync(path))
    if (!isThere) throw error
  } finally {
    dropTemporary(temporary)
  }
}
