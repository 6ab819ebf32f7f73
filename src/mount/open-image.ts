import { closeSync, constants, readSync } from 'node:fs'
import type { VerityDigest } from '../digest.ts'
import { OnefoldError, hasCode } from '../error.ts'
import { composefsHeaderVersion } from '../formats/composefs/composefs-header.ts'
import { VerityHasher } from '../formats/fsverity/verity-digest.ts'
import { open } from '../linux/file.ts'
import { measureVerity } from '../linux/fs-verity.ts'
import { readImageHeader } from './image-header.ts'

export interface OpenImage extends Disposable {
  readonly fd: number
  readonly hasAcl: boolean
}

export interface ImageChecks {
  /** Hash all of it, unless the kernel enforces its digest already. */
  readonly verify: boolean
  /** The kernel has to enforce its digest: the file is sealed with fs-verity. */
  readonly verity: boolean
}

/**
 * Opens a stored image for mounting. The mount is made from this very descriptor.
 *
 * Reading the whole image to compare it with its name would make every mount cost what the image weighs (20 ms for
 * 32 MB), so by default that is left to what happens anyway: an image gets its name only after it was hashed, fsck hashes
 * it again, and nobody but the store's owner can write there. Where the kernel enforces a digest (fs-verity) that is
 * compared, for one call. `verify` hashes all of it.
 */
export function openImage(path: string, digest: VerityDigest, checks: ImageChecks): OpenImage {
  const fd = openFile(path, digest)
  try {
    const hasAcl = readHasAcl(fd, digest)
    const enforced = measureVerity(fd)
    if (enforced !== undefined) compare(enforced, digest)
    else if (checks.verity) throw notSealed(digest)
    else if (checks.verify) compare(hashFile(fd), digest)
    return { fd, hasAcl, [Symbol.dispose]: () => closeSync(fd) }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

function notSealed(digest: VerityDigest): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot mount image ${digest}: its file is not sealed with fs-verity`, {
    hint: 'Seal what the store has: onefold store --require-verity',
  })
}

function openFile(path: string, digest: VerityDigest): number {
  try {
    return open(path, constants.O_RDONLY)
  } catch (cause) {
    if (!hasCode(cause, 'NOT_FOUND')) throw cause
    throw new OnefoldError('NOT_FOUND', `Cannot mount image ${digest}: the store has no file for it`, {
      cause,
      hint: 'Delete that file: it is composed again from its layers when it is next needed.',
    })
  }
}

function readHasAcl(fd: number, digest: VerityDigest): boolean {
  const header = readImageHeader(fd)
  if (header?.headerVersion === composefsHeaderVersion) return header.hasAcl
  throw new OnefoldError('CORRUPT', `Cannot mount image ${digest}: it does not begin as a composefs image does`, {
    hint: 'Delete that file: it is composed again from its layers when it is next needed.',
  })
}

function hashFile(fd: number): VerityDigest {
  const hasher = new VerityHasher()
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (let at = 0; ;) {
    const length = readSync(fd, buffer, 0, buffer.length, at)
    if (length === 0) return hasher.digest()
    hasher.update(buffer.subarray(0, length))
    at += length
  }
}

function compare(found: VerityDigest, digest: VerityDigest): void {
  if (found === digest) return
  throw new OnefoldError('DIGEST_MISMATCH', `Cannot mount image ${digest}: its bytes hash to ${found}`, {
    hint: 'Delete that file: it is composed again from its layers when it is next needed.',
  })
}
