import { type Xattrs, noXattrs } from '../formats/entry.ts'
import { isErrno } from '../linux/libc.ts'
import { getXattr, listXattrs } from '../linux/xattr.ts'

/**
 * The extended attributes of a file whose names are wanted, in byte order of name; none where the file system has none.
 * @param file a descriptor, or a path that is not followed when it is a symlink
 */
export function readXattrs(file: string | number, isWanted: (name: string) => boolean): Xattrs {
  const names = listNames(file).filter(isWanted).sort()
  if (names.length === 0) return noXattrs
  const values = new Map<string, Uint8Array>()
  for (const name of names) {
    const value = getXattr(file, name)
    // One that was taken away since it was listed.
    if (value !== undefined) values.set(name, value)
  }
  return values
}

function listNames(file: string | number): string[] {
  try {
    return listXattrs(file)
  } catch (error) {
    if (isErrno(error, 'ENOTSUP', 'EOPNOTSUPP')) return []
    throw error
  }
}
