import { constants } from 'node:fs'
import { libcCall, libcSizeCall, openFlag } from './libc.ts'

const call = libcSizeCall('getdents64', 'ipl')
/**
 * Offsets in struct linux_dirent64 of linux/dirent.h: u64 inode, s64 offset, u16 length of the record, u8 type, name
 * and NUL.
 */
const recordLengthAt = 16
const nameAt = 19
const buffer = Buffer.alloc(1 << 16)
const openatCall = libcCall('openat', 'ipi')
/** Longest name in a directory, without its NUL. */
const nameMax = 255
const nameBytes = Buffer.alloc(nameMax + 1)

/** Opens a directory by its name in another one; a symlink is refused. Returns the descriptor. */
export function openDirectoryAt(parent: number, name: string): number {
  const length = nameBytes.write(name, 0, nameMax, 'latin1')
  nameBytes[length] = 0
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW | openFlag('O_CLOEXEC')
  return openatCall(name, parent, nameBytes, flags)
}

/** Returns all names but `.` and `..` in an open directory, one char per byte, in the file system's order. */
export function readNames(directory: number): string[] {
  const names: string[] = []
  for (;;) {
    const length = call('a directory', directory, buffer, buffer.length)
    if (length === 0) return names
    for (
      let at = 0;
      at < length;
      at += (buffer[at + recordLengthAt] as number) | ((buffer[at + recordLengthAt + 1] as number) << 8)
    ) {
      let end = at + nameAt
      while (buffer[end] !== 0) end++
      const name = buffer.toString('latin1', at + nameAt, end)
      if (name !== '.' && name !== '..') names.push(name)
    }
  }
}
