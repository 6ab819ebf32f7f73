import { closeSync, constants } from 'node:fs'
import { OnefoldError } from '../error.ts'
import { ioctls, loop, structs } from './abi.ts'
import { open } from './file.ts'
import { isErrno, libcCall } from './libc.ts'

const ioctlCall = libcCall('ioctl', 'ilp')
const ioctlNumberCall = libcCall('ioctl', 'ill')

export interface LoopDevice {
  /** Path of the device: `/dev/loop3`. */
  readonly path: string
  /** Descriptor that keeps the device: it frees itself when this and every mount of it are gone. */
  readonly fd: number
}

/**
 * Attaches an open file, read-only, to a free loop device with 4096-byte blocks, so that file systems read it past a
 * second page cache where the file system below can (direct I/O).
 */
export function attachLoop(file: number): LoopDevice {
  for (let attempt = 0; attempt < 64; attempt++) {
    const path = `/dev/loop${freeLoop()}`
    const fd = open(path, constants.O_RDONLY)
    try {
      configure(fd, file)
      return { path, fd }
    } catch (error) {
      closeSync(fd)
      // Somebody else took the device between the two calls.
      if (!isErrno(error, 'EBUSY')) throw error
    }
  }
  throw new OnefoldError('BUSY', 'Cannot attach a loop device: 64 free ones were taken by others meanwhile')
}

function freeLoop(): number {
  const control = openControl()
  try {
    return ioctlNumberCall('LOOP_CTL_GET_FREE', control, ioctls.LOOP_CTL_GET_FREE, 0)
  } finally {
    closeSync(control)
  }
}

function openControl(): number {
  try {
    return open('/dev/loop-control', constants.O_RDWR)
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT', 'ENXIO', 'ENODEV')) throw cause
    throw new OnefoldError('UNSUPPORTED', 'Cannot attach a loop device: there is no /dev/loop-control', {
      cause,
      hint: 'modprobe loop',
    })
  }
}

/**
 * Sets everything up in one call (kernel ≥ 5.8); direct I/O is refused by file systems that have none, such as tmpfs.
 */
function configure(device: number, file: number): void {
  const flags = loop.LO_FLAGS_READ_ONLY | loop.LO_FLAGS_AUTOCLEAR
  try {
    ioctlCall('LOOP_CONFIGURE', device, ioctls.LOOP_CONFIGURE, loopConfig(file, flags | loop.LO_FLAGS_DIRECT_IO))
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'EOPNOTSUPP')) throw error
    ioctlCall('LOOP_CONFIGURE', device, ioctls.LOOP_CONFIGURE, loopConfig(file, flags))
  }
}

function loopConfig(file: number, flags: number): Uint8Array {
  const layout = structs.loop_config
  const config = Buffer.alloc(layout.size)
  config.writeUInt32LE(file, layout.fd)
  config.writeUInt32LE(4096, layout.block_size)
  config.writeUInt32LE(flags, layout.lo_flags)
  return config
}
