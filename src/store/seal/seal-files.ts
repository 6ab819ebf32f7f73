import { closeSync, fchmodSync } from 'node:fs'
import { type VerityDigest, parseVerityDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import { statfs } from '../../linux/statfs.ts'
import { enableVerityAsync, measureVerity } from '../../linux/fs-verity.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { fileError, listFolder, listFolders, openRegular } from '../store-files.ts'
import { digestOfName } from '../store-layout.ts'
import { verityPolicy } from '../store-settings.ts'

/**
 * Sealing: the kernel keeps a Merkle tree with the file (fs-verity), lets nobody write to it any more, and checks every
 * page that is read from the disk. What it measures is the very digest that names an object or an image.
 *
 * Each file costs the disk one or two blocks more, and a write that is waited for; so many are sealed at a time, after
 * their data was written in one go.
 */
export interface Sealed {
  /** Files that are sealed now and were not before. */
  readonly sealed: number
  /** Files that had been sealed before. */
  readonly already: number
  /** Whether the file system, and the kernel, have fs-verity. */
  readonly able: boolean
}

/** Seals what a transaction adds, as the store says; false when there was nothing to do, or no way. */
export async function sealStaged(root: string, transaction: string, signal?: AbortSignal): Promise<boolean> {
  const policy = verityPolicy(root)
  if (policy === 'off') return false
  const { sealed, able } = await sealAll(transaction, signal)
  if (!able && policy === 'require') throw unable(root)
  return sealed > 0
}

/** Seals the objects and images of a store, or of a transaction. */
export async function sealAll(root: string, signal?: AbortSignal): Promise<Sealed> {
  const files = filesOf(root)
  const counts = { sealed: 0, already: 0, unable: 0, gone: 0 }
  // Whoever leaves the loop early ends the list for all.
  const lane = async (): Promise<void> => {
    for (const file of files) {
      signal?.throwIfAborted()
      const result = await sealFile(file)
      counts[result]++
      if (result === 'unable') return
    }
  }
  // Most of the time is spent waiting for the disk.
  const ended = await Promise.allSettled(Array.from({ length: lanes }, lane))
  for (const each of ended) if (each.status === 'rejected') throw each.reason
  return { sealed: counts.sealed, already: counts.already, able: counts.unable === 0 }
}

const lanes = 8

export interface SealableFile {
  readonly path: string
  readonly digest: VerityDigest
}

function* filesOf(root: string): Generator<SealableFile> {
  for (const folder of listFolders(`${root}/objects`))
    for (const name of listFolder(`${root}/objects/${folder}`)) {
      const digest = digestOfName('objects', `${folder}/${name}`)
      if (digest !== undefined) yield { path: `${root}/objects/${folder}/${name}`, digest: parseVerityDigest(digest) }
    }
  for (const name of listFolder(`${root}/images`)) {
    const digest = digestOfName('images', name)
    if (digest !== undefined) yield { path: `${root}/images/${name}`, digest: parseVerityDigest(digest) }
  }
}

/** @throws CORRUPT when it has other bytes than its name says */
export async function sealFile({ path, digest }: SealableFile): Promise<'sealed' | 'already' | 'unable' | 'gone'> {
  const file = openRegular(path, digest)
  if (file === undefined) return 'gone'
  try {
    const before = measureVerity(file.fd)
    if (before === undefined && !(await enable(file.fd))) return 'unable'
    const now = before ?? measureVerity(file.fd)
    if (now === digest) return before === undefined ? 'sealed' : 'already'
    throw new OnefoldError('CORRUPT', `Cannot seal "${path}": the kernel measures ${now ?? 'nothing'}`, {
      hint: 'See what is damaged: onefold fsck',
    })
  } catch (error) {
    throw fileError('seal', path, error)
  } finally {
    closeSync(file.fd)
  }
}

/** Whether the kernel enforces a digest of the file; false where there is none. */
export function isSealed(path: string): boolean {
  const file = openRegular(path, path)
  if (file === undefined) return false
  try {
    return measureVerity(file.fd) !== undefined
  } finally {
    closeSync(file.fd)
  }
}

/** Seals a file that nobody may write to, as the store's are: who is not root may seal only what he could write to. */
async function enable(fd: number): Promise<boolean> {
  try {
    return await enableVerityAsync(fd)
  } catch (error) {
    if (!hasCode(error, 'DENIED')) throw error
  }
  fchmodSync(fd, 0o644)
  try {
    return await enableVerityAsync(fd)
  } finally {
    fchmodSync(fd, 0o444)
  }
}

/** The error for a file system that cannot seal, where everything has to be sealed. */
export function unable(root: string): OnefoldError {
  const { type } = statfs(pathFromUtf8(root))
  return new OnefoldError('UNSUPPORTED', `Cannot seal the files of "${root}": ${type} has no fs-verity here`, {
    hint: 'btrfs has it, and ext4 when made with "mkfs.ext4 -O verity" (or changed by "tune2fs -O verity"); or use: onefold store --verity auto',
  })
}
