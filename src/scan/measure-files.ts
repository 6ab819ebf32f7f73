import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { VerityDigest } from '../digest.ts'
import { inlineMax } from '../formats/entry.ts'
import { VerityHasher, blocksOf } from '../formats/fsverity/verity-digest.ts'
import { pathToBytes } from '../paths.ts'
import { DigestStore } from './digest-store.ts'
import { changedWhileRead, scanError } from './scan-error.ts'

/** A file as the scan found it. */
export interface ScannedFile {
  readonly path: string
  readonly size: number
  readonly identity: string
}

/** The bytes of a file that goes into the image, the digest of any other. */
export type Measured = Uint8Array | VerityDigest

/** Some files to be read by one thread; `objects` is the directory their bytes are to be copied, or linked, to. */
export interface MeasureJob {
  readonly files: readonly ScannedFile[]
  readonly objects?: string
  readonly link?: boolean
}

/** A text that cannot stay the same when a file is written to, or another one is put in its place. */
export function scannedIdentity(stats: BigIntStats): string {
  return `${stats.ino} ${stats.size} ${stats.ctimeNs}`
}

const hasher = new VerityHasher()
const buffer = Buffer.allocUnsafe(1 << 20)
const blocks = blocksOf(buffer)

/**
 * Reads files and gives their bytes or digests in the order of the files. When it fails, none of the job's objects has got its
 * name unless it is whole.
 */
export function measureFiles({ files, objects, link }: MeasureJob): Measured[] {
  using store = objects === undefined ? undefined : new DigestStore(objects, link)
  const measured = files.map((file) => measureFile(file, store))
  store?.commit()
  return measured
}

function measureFile(file: ScannedFile, store: DigestStore | undefined): Measured {
  try {
    return measureOpen(file, store)
  } catch (error) {
    throw scanError('hash', file.path, error)
  }
}

function measureOpen(file: ScannedFile, store: DigestStore | undefined): Measured {
  // Whoever writes to the tree may have put something else there: no symlink is followed, no pipe waited for.
  const fd = openSync(pathToBytes(file.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const whole = file.size <= buffer.length ? readWhole(fd, file) : undefined
    if (whole !== undefined && whole.length <= inlineMax) {
      expectUnchanged(fd, file)
      return Uint8Array.from(whole)
    }
    const digest = whole === undefined ? hashFile(fd, file) : hashBytes(whole)
    expectUnchanged(fd, file)
    // A link to the file changes its ctime; for anything else it must not have changed until its copy was made.
    if (store !== undefined && store.add(digest, fd, file.size, whole) !== 'linked') expectUnchanged(fd, file)
    return digest
  } finally {
    closeSync(fd)
  }
}

function readWhole(fd: number, file: ScannedFile): Buffer {
  let filled = 0
  while (filled < file.size) {
    const length = readSync(fd, buffer, filled, file.size - filled, filled)
    if (length === 0) throw changedWhileRead('hash', file.path)
    filled += length
  }
  return buffer.subarray(0, file.size)
}

/** Hashes bytes at the start of `buffer`. */
function hashBytes(bytes: Uint8Array): VerityDigest {
  hasher.update(bytes, blocks)
  return hasher.digest()
}

function hashFile(fd: number, file: ScannedFile): VerityDigest {
  const own = new VerityHasher()
  for (let at = 0; at < file.size;) {
    const length = readSync(fd, buffer, 0, Math.min(buffer.length, file.size - at), at)
    if (length === 0) throw changedWhileRead('hash', file.path)
    own.update(buffer.subarray(0, length), blocks)
    at += length
  }
  return own.digest()
}

function expectUnchanged(fd: number, file: ScannedFile): void {
  if (scannedIdentity(fstatSync(fd, { bigint: true })) !== file.identity) throw changedWhileRead('hash', file.path)
}
