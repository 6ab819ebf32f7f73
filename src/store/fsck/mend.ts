import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { type Digest, parseVerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { lchown } from '../../linux/file.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { newGeneration } from '../transaction/commit-transaction.ts'
import { fileError, makeFolder, readWhole, replaceFile, syncFolder } from '../store-files.ts'
import { blobPath, folders, indexFile, lockFile, storeFile, tmpFolder } from '../store-layout.ts'
import { requireOwn } from '../store-folder.ts'
import { lockRefs, lockStore } from '../store-lock.ts'
import { FileHasher } from '../objects/object-files.ts'
import { writeRef } from '../records/refs.ts'
import { formatSettings, readSettings, verityPolicy } from '../store-settings.ts'
import { sealFile } from '../seal/seal-files.ts'
import { temporaryFile } from './checked.ts'
import type { Damage } from './fsck-report.ts'

/** What can be mended with what is in the store. Each returns whether it did; the next check says what that was worth. */

/** Gives what has the right bytes the right mode and owner, and seals it where the store requires that. */
export async function mendMode(root: string, { kind, name, file, state }: Damage): Promise<boolean> {
  if (state !== 'exposed') return false
  const path = file === '' ? root : `${root}/${file}`
  const seen = lstatSync(path, { throwIfNoEntry: false })
  if (seen === undefined || (!seen.isFile() && !seen.isDirectory())) return false
  const owner = lstatSync(root)
  const isContent = kind === 'object' || kind === 'image'
  try {
    // Its owner may still have it open for writing, so that a copy is needed: what is in it is checked when it is there.
    if (isContent && seen.uid !== owner.uid) {
      if (!(await replaceByCopy(root, path, name))) return false
    } else if (seen.uid !== owner.uid) lchown(pathFromUtf8(path), owner.uid, owner.gid)
    setMode(path, isContent ? 0o444 : seen.isFile() ? 0o644 : file === '' ? 0o700 : 0o755)
    if (!isContent || verityPolicy(root) !== 'require') return true
    const sealed = await sealFile({ path, digest: parseVerityDigest(name) })
    return sealed === 'sealed' || sealed === 'already'
  } catch (error) {
    if (error instanceof OnefoldError || fileError('mend', path, error).code === 'DENIED') return false
    throw error
  }
}

/** Not by name: a symlink may have come in its place. */
function setMode(path: string, mode: number): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    fchmodSync(fd, mode)
  } finally {
    closeSync(fd)
  }
}

async function replaceByCopy(root: string, path: string, digest: string): Promise<boolean> {
  using _lock = await lockStore(root, 'shared')
  const temporary = temporaryFile(root)
  try {
    copyFileSync(path, temporary, constants.COPYFILE_EXCL)
    setMode(temporary, 0o444)
    if (new FileHasher().hash(temporary) !== digest) return false
    syncFile(temporary)
    renameSync(temporary, path)
    syncFolder(dirname(path))
    return true
  } finally {
    rmSync(temporary, { force: true })
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Writes a document that a name needs over the damaged one, in one step. `bytes` have been checked. */
export async function replaceBlob(
  root: string,
  digest: Digest,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  using _lock = await lockStore(root, 'shared', signal)
  replaceFile(blobPath(root, digest), bytes, temporaryFile(root))
}

/** Sets a name whose ref was damaged. */
export async function replaceRef(
  root: string,
  name: string,
  top: Descriptor,
  signal: AbortSignal | undefined,
): Promise<void> {
  using _store = await lockStore(root, 'shared', signal)
  using _refs = await lockRefs(root, signal)
  writeRef(root, name, top)
}

/** What is left of a damaged small file; empty when it is none, or cannot be read. */
export function remainsOf(root: string, file: string): string {
  try {
    return readWhole(`${root}/${file}`, 'what is left of a file', 16 * 1024 * 1024)?.toString('latin1') ?? ''
  } catch (error) {
    if (error instanceof OnefoldError) return ''
    throw error
  }
}

/** It is made again by whoever needs it next. */
export function removeIndex(root: string): void {
  rmSync(`${root}/${indexFile}`, { force: true })
}

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
