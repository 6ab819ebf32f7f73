import { parseVerityDigest, type VerityDigest } from '../digest.ts'
import { ioctls, structs } from './abi.ts'
import { isErrno, libcAsyncCall, libcCall } from './libc.ts'

const ioctlCall = libcCall('ioctl', 'ilp')
const ioctlAsyncCall = libcAsyncCall('ioctl', 'ilp')
const sha256 = { algorithm: 1, size: 32 } as const

/**
 * Turns fs-verity on (sha256, 4 KiB blocks, no salt): the file, open for reading only and for writing by nobody, can
 * never change again. Returns false where the kernel or the file system has no fs-verity. A caller that is not root
 * must be allowed to write to the file (DENIED otherwise).
 */
export function enableVerity(fd: number): boolean {
  try {
    ioctlCall(enabling(fd), fd, ioctls.FS_IOC_ENABLE_VERITY, enableArgument())
    return true
  } catch (error) {
    return refusal(error)
  }
}

/**
 * Does what enableVerity() does, but lets other work go on meanwhile: the kernel writes the file back, hashes all of
 * it, and waits for the disk.
 */
export async function enableVerityAsync(fd: number): Promise<boolean> {
  try {
    await ioctlAsyncCall(enabling(fd), fd, ioctls.FS_IOC_ENABLE_VERITY, enableArgument())
    return true
  } catch (error) {
    return refusal(error)
  }
}

function enabling(fd: number): string {
  return `FS_IOC_ENABLE_VERITY of descriptor ${fd}`
}

/** Returns true for the error that says it is on already, false where there is no fs-verity. */
function refusal(error: unknown): boolean {
  if (isErrno(error, 'EEXIST')) return true
  if (isErrno(error, 'EOPNOTSUPP', 'ENOTTY')) return false
  throw error
}

let argument: Uint8Array | undefined

/** Returns the argument, which is the same for every file, and never freed: calls on other threads read it. */
function enableArgument(): Uint8Array {
  if (argument !== undefined) return argument
  const layout = structs.fsverity_enable_arg
  const bytes = Buffer.alloc(layout.size)
  bytes.writeUInt32LE(1, layout.version)
  bytes.writeUInt32LE(sha256.algorithm, layout.hash_algorithm)
  bytes.writeUInt32LE(4096, layout.block_size)
  return (argument = bytes)
}

/** Returns the digest the kernel enforces for this file, or undefined when it enforces none (of this kind). */
export function measureVerity(fd: number): VerityDigest | undefined {
  const layout = structs.fsverity_digest
  const bytes = Buffer.alloc(layout.digest + 64)
  bytes.writeUInt16LE(64, layout.digest_size)
  try {
    ioctlCall(`FS_IOC_MEASURE_VERITY of descriptor ${fd}`, fd, ioctls.FS_IOC_MEASURE_VERITY, bytes)
  } catch (error) {
    if (isErrno(error, 'ENODATA', 'EOPNOTSUPP', 'ENOTTY')) return undefined
    throw error
  }
  if (bytes.readUInt16LE(layout.digest_algorithm) !== sha256.algorithm) return undefined
  return parseVerityDigest(bytes.toString('hex', layout.digest, layout.digest + sha256.size))
}
