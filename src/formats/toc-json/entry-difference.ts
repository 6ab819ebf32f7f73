import { type Entry, sizeOf } from '../entry.ts'

const compared = ['path', 'type', 'mode', 'uid', 'gid', 'mtime', 'mtimeNsec', 'major', 'minor', 'link'] as const

/** Returns the name of a field in which two entries differ, contents aside; undefined when there is none. */
export function differenceOf(a: Entry, b: Entry): string | undefined {
  const field = compared.find((name) => a[name] !== b[name])
  if (field !== undefined) return field
  if (sizeOf(a.content) !== sizeOf(b.content)) return 'size'
  if (a.xattrs.size !== b.xattrs.size) return 'xattrs'
  for (const [name, value] of a.xattrs) {
    const other = b.xattrs.get(name)
    if (other === undefined || Buffer.compare(value, other) !== 0) return 'xattrs'
  }
  return undefined
}
