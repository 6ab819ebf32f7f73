import { libcSizeCall } from './libc.ts'

const call = libcSizeCall('getdents64', 'ipl')
/** struct linux_dirent64 of linux/dirent.h: u64 inode, s64 offset, u16 length of the record, u8 type, name and NUL. */
const recordLengthAt = 16
const nameAt = 19
const buffer = Buffer.alloc(1 << 16)

/** All names but `.` and `..` in an open directory, one char per byte, in the file system's order. */
export function readNames(directory: number): string[] {
  const names: string[] = []
  for (;;) {
    const length = call('a directory', directory, buffer, buffer.length)
    if (length === 0) return names
    for (let at = 0; at < length; at += buffer.readUInt16LE(at + recordLengthAt)) {
      const name = buffer.toString('latin1', at + nameAt, buffer.indexOf(0, at + nameAt))
      if (name !== '.' && name !== '..') names.push(name)
    }
  }
}
