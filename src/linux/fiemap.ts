import { closeSync, constants } from 'node:fs'
import { fiemap as f, ioctls, structs } from './abi.ts'
import { open } from './file.ts'
import { isErrno, libcCall } from './libc.ts'

const ioctlCall = libcCall('ioctl', 'ilp')
/** Number of extents per call; a file with more is asked again. */
const extentsPerCall = 64

/** Run of bytes on the disk that other files use as well. */
export interface SharedExtent {
  /** Offset on the device. */
  readonly physical: number
  readonly length: number
}

/**
 * Returns the parts of a regular file whose blocks it shares with others (reflinks); none where the file system cannot
 * tell. `path` has one char per byte.
 */
export function sharedExtents(path: string): SharedExtent[] {
  const fd = open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    return [...extentsOf(fd)]
  } catch (error) {
    if (isErrno(error, 'EOPNOTSUPP', 'ENOTTY', 'EINVAL')) return []
    throw error
  } finally {
    closeSync(fd)
  }
}

function* extentsOf(fd: number): Generator<SharedExtent> {
  const { fiemap: head, fiemap_extent: extent } = structs
  const request = Buffer.alloc(head.size + extentsPerCall * extent.size)
  for (let start = 0n; ;) {
    request.fill(0, 0, head.size)
    request.writeBigUInt64LE(start, head.fm_start)
    request.writeBigUInt64LE(2n ** 64n - 1n - start, head.fm_length)
    request.writeUInt32LE(extentsPerCall, head.fm_extent_count)
    ioctlCall(`FS_IOC_FIEMAP of descriptor ${fd}`, fd, ioctls.FS_IOC_FIEMAP, request)
    const count = request.readUInt32LE(head.fm_mapped_extents)
    let isLast = count === 0
    for (let at = head.size; at < head.size + count * extent.size; at += extent.size) {
      const flags = request.readUInt32LE(at + extent.fe_flags)
      const length = request.readBigUInt64LE(at + extent.fe_length)
      start = request.readBigUInt64LE(at + extent.fe_logical) + length
      isLast = (flags & f.FIEMAP_EXTENT_LAST) !== 0
      if ((flags & f.FIEMAP_EXTENT_SHARED) !== 0)
        yield { physical: Number(request.readBigUInt64LE(at + extent.fe_physical)), length: Number(length) }
    }
    if (isLast) return
  }
}
