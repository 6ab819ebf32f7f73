import { fsTypes, structs } from './abi.ts'
import { cString, libcCall } from './libc.ts'

const statfsCall = libcCall('statfs', 'pp')

export interface FileSystem {
  /** Name of the type, `ext4`, `xfs`, …, or the magic number as `0x…`. */
  readonly type: string
  readonly blockSize: number
  /** Total size, in bytes. */
  readonly size: number
  /** Bytes that a process without privileges may still write. */
  readonly available: number
}

/** Returns the file system that `path` (one char per byte) lies on. */
export function statfs(path: string): FileSystem {
  const layout = structs.statfs
  const bytes = Buffer.alloc(layout.size)
  statfsCall(JSON.stringify(path), cString(path), bytes)
  const magic = bytes.readUInt32LE(layout.f_type)
  const blockSize = Number(bytes.readBigInt64LE(layout.f_bsize))
  return {
    type: fsTypes.get(magic) ?? `0x${magic.toString(16)}`,
    blockSize,
    size: blockSize * Number(bytes.readBigUInt64LE(layout.f_blocks)),
    available: blockSize * Number(bytes.readBigUInt64LE(layout.f_bavail)),
  }
}
