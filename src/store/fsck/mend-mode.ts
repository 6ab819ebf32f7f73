import { closeSync, constants, copyFileSync, fchmodSync, fsyncSync, lstatSync, openSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { parseVerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { lchown } from '../../linux/file.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { FileHasher } from '../objects/object-files.ts'
import { sealFile } from '../seal/seal-files.ts'
import { dropTemporary, fileError, syncFolder } from '../store-files.ts'
import { lockStore } from '../store-lock.ts'
import { verityPolicy } from '../store-settings.ts'
import { temporaryFile } from './checked.ts'
import type { Damage } from './fsck-report.ts'

/**
 * Gives what has the right bytes the right mode and owner, and seals it where the store requires that. Returns whether
 * it did.
 */
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

/** Sets a mode, not by name: a symlink may have come in its place. */
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
    dropTemporary(temporary)
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
