import { cString, isErrno, libcCall, libcSizeCall } from './libc.ts'

/** Names and paths are strings with one char per byte (latin1); a path that is a symlink means the symlink itself. */

const calls = {
  path: {
    list: libcSizeCall('llistxattr', 'ppl'),
    get: libcSizeCall('lgetxattr', 'pppl'),
    set: libcCall('lsetxattr', 'pppli'),
  },
  fd: {
    list: libcSizeCall('flistxattr', 'ipl'),
    get: libcSizeCall('fgetxattr', 'ippl'),
    set: libcCall('fsetxattr', 'ippli'),
  },
} as const

/** XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h: no value and no list is longer. */
const sizeMax = 65536
const scratch = Buffer.alloc(sizeMax)

/**
 * Returns the names in the kernel's order; those the caller may not see (`trusted.*` without CAP_SYS_ADMIN) are
 * missing.
 */
export function listXattrs(file: string | number): string[] {
  const { call, target, what } = at(file)
  const length = call.list(what, target, scratch, sizeMax)
  return scratch
    .toString('latin1', 0, length)
    .split('\0')
    .filter((name) => name !== '')
}

/** Returns the value, or undefined when the file has no such attribute. */
export function getXattr(file: string | number, name: string): Uint8Array | undefined {
  const { call, target, what } = at(file)
  try {
    const length = call.get(`${what}, ${name}`, target, cString(name), scratch, sizeMax)
    return Uint8Array.from(scratch.subarray(0, length))
  } catch (error) {
    if (isErrno(error, 'ENODATA')) return undefined
    throw error
  }
}

export function setXattr(file: string | number, name: string, value: Uint8Array): void {
  const { call, target, what } = at(file)
  call.set(`${what}, ${name}`, target, cString(name), value, value.length, 0)
}

function at(file: string | number): {
  call: (typeof calls)['path' | 'fd']
  target: Uint8Array | number
  what: string
} {
  return typeof file === 'number'
    ? { call: calls.fd, target: file, what: `descriptor ${file}` }
    : { call: calls.path, target: cString(file), what: JSON.stringify(file) }
}
