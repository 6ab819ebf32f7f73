import { openSync } from 'node:fs'
import { errnoOf } from '../error.ts'
import { at, ioctls, resolve, structs, UTIME_OMIT } from './abi.ts'
import { cString, isErrno, libcAsyncCall, libcCall, openFlag, systemCall, systemError } from './libc.ts'

/** Paths are strings with one char per byte (latin1), relative ones against the working directory. */

const syncfsCall = libcCall('syncfs', 'i')
const syncfsAsyncCall = libcAsyncCall('syncfs', 'i')
const linkatCall = libcCall('linkat', 'ipipi')
const openat2Call = systemCall('openat2', 'ippl')
const lchownCall = libcCall('lchown', 'pii')
const utimensatCall = libcCall('utimensat', 'ippi')
const ioctlCall = libcCall('ioctl', 'ilp')
const ioctlNumberCall = libcCall('ioctl', 'ill')

/** Writes back everything of the file system that `fd` lies on, and reports errors of earlier write-backs. */
export function syncfs(fd: number): void {
  syncfsCall(`descriptor ${fd}`, fd)
}

/** Does what syncfs() does, but lets other work go on meanwhile: it takes as long as the disk. */
export async function syncfsAsync(fd: number): Promise<void> {
  await syncfsAsyncCall(`descriptor ${fd}`, fd)
}

/** Opens a path of bytes as fs.openSync does, with the errors of this folder. */
export function open(path: string, flags: number, mode = 0): number {
  const bytes = cString(path).subarray(0, -1)
  try {
    return openSync(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), flags | openFlag('O_CLOEXEC'), mode)
  } catch (error) {
    throw systemError('open', quote(path), errnoOf(error) ?? String(error))
  }
}

/** Gives the open file a name; EEXIST when it is taken. Goes through /proc, which needs no capability. */
export function linkFd(fd: number, path: string): void {
  const from = cString(`/proc/self/fd/${fd}`)
  linkatCall(quote(path), at.AT_FDCWD, from, at.AT_FDCWD, cString(path), at.AT_SYMLINK_FOLLOW)
}

/** Limit on where a path may lead from the directory it starts in. */
export type Confinement =
  /** Symlinks are followed as a process chrooted into the directory would; `..` stops at it. */
  | 'in-root'
  /** Symlinks are followed as long as they stay below; absolute ones and `..` beyond fail with EXDEV. */
  | 'beneath'
  /** Nothing leads out, and no symlink is followed: any fails with ELOOP. */
  | 'no-symlinks'

/**
 * Opens `path` below the open directory, whatever symlinks an attacker planted there. Never crosses into procfs'
 * magic links. Returns the descriptor.
 */
export function openBelow(directory: number, path: string, flags: number, confinement: Confinement, mode = 0): number {
  const layout = structs.open_how
  const how = Buffer.alloc(layout.size)
  how.writeBigUInt64LE(BigInt(flags | openFlag('O_CLOEXEC')), layout.flags)
  how.writeBigUInt64LE(BigInt(mode), layout.mode)
  how.writeBigUInt64LE(BigInt(confinements[confinement] | resolve.RESOLVE_NO_MAGICLINKS), layout.resolve)
  for (let attempt = 0; ; attempt++) {
    try {
      return openat2Call(quote(path), directory, cString(path), how, layout.size)
    } catch (error) {
      // ".." raced with a rename somewhere in the system: openat2(2) says to try again.
      if (attempt < 16 && isErrno(error, 'EAGAIN')) continue
      throw error
    }
  }
}

const confinements = {
  'in-root': resolve.RESOLVE_IN_ROOT,
  beneath: resolve.RESOLVE_BENEATH,
  'no-symlinks': resolve.RESOLVE_BENEATH | resolve.RESOLVE_NO_SYMLINKS,
} as const

/** Sets the owner of the name itself, symlink or not. */
export function lchown(path: string, uid: number, gid: number): void {
  lchownCall(quote(path), cString(path), uid | 0, gid | 0)
}

/** Sets the modification time of the name itself, symlink or not; the access time stays. */
export function setMtime(path: string, seconds: number, nanoseconds: number): void {
  const layout = structs.timespec
  const times = Buffer.alloc(2 * layout.size)
  times.writeBigInt64LE(BigInt(UTIME_OMIT), layout.tv_nsec)
  times.writeBigInt64LE(BigInt(seconds), layout.size + layout.tv_sec)
  times.writeBigInt64LE(BigInt(nanoseconds), layout.size + layout.tv_nsec)
  utimensatCall(quote(path), at.AT_FDCWD, cString(path), times, at.AT_SYMLINK_NOFOLLOW)
}

/** Shares all blocks of one file with another (XFS, btrfs); false where the file systems cannot. */
export function clone(from: number, to: number): boolean {
  return orCannotShare(() => ioctlNumberCall(`FICLONE of descriptor ${from}`, to, ioctls.FICLONE, from))
}

/** Shares a range of blocks; offsets and length are whole blocks, but for a length that ends at the source's end. */
export function cloneRange(from: number, offset: number, length: number, to: number, toOffset: number): boolean {
  const layout = structs.file_clone_range
  const range = Buffer.alloc(layout.size)
  range.writeBigInt64LE(BigInt(from), layout.src_fd)
  range.writeBigUInt64LE(BigInt(offset), layout.src_offset)
  range.writeBigUInt64LE(BigInt(length), layout.src_length)
  range.writeBigUInt64LE(BigInt(toOffset), layout.dest_offset)
  return orCannotShare(() => ioctlCall(`FICLONERANGE of descriptor ${from}`, to, ioctls.FICLONERANGE, range))
}

function orCannotShare(share: () => void): boolean {
  try {
    share()
    return true
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS')) return false
    throw error
  }
}

function quote(path: string): string {
  return JSON.stringify(path)
}
