import { OnefoldError } from '../../error.ts'
import { type Entry, type Xattrs, noContent } from '../../formats/entry.ts'
import { maxNameBytes, quoteName } from '../../formats/path.ts'
import { packDevice, typeBits } from '../../formats/node-type.ts'
import type { Inode } from '../../formats/tree.ts'

/** Longest target of a symlink: one less than PATH_MAX, which counts the NUL. */
const targetMax = 4095

/** Makes the inode of an entry other than a hard link; `permissions` and `xattrs` as the tree is to have them. */
export function newInode(entry: Entry, permissions: number, xattrs: Xattrs): Inode {
  return {
    mode: typeBits[entry.type] | (permissions & 0o7777),
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    mtimeNsec: entry.mtimeNsec,
    rdev: entry.type === 'char' || entry.type === 'block' ? rdevOf(entry) : 0,
    nlink: 1,
    xattrs,
    content: entry.type === 'file' ? entry.content : noContent,
    target: entry.type === 'symlink' ? targetOf(entry) : '',
    children: undefined,
  }
}

export function copyMetadata(from: Inode, to: Inode): void {
  to.mode = from.mode
  to.uid = from.uid
  to.gid = from.gid
  to.mtime = from.mtime
  to.mtimeNsec = from.mtimeNsec
  to.xattrs = from.xattrs
}

function rdevOf(entry: Entry): number {
  const { major, minor } = entry
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
    throw refused(entry, `Linux has no device ${major}:${minor}, at most 4095:1048575`)
  return packDevice(entry)
}

function targetOf(entry: Entry): string {
  const { link } = entry
  if (link === '' || link.length > targetMax || link.includes('\0'))
    throw refused(entry, `a symlink's target has 1 to ${targetMax} bytes and no NUL, found ${link.length} bytes`)
  return link
}

/**
 * Throws BAD_FORMAT for a name that would escape. Readers clean names, but every reader's names end up here, and safety
 * must not depend on one of them.
 */
export function checkName(name: string, entry: Entry): void {
  if (name.length > maxNameBytes) throw refused(entry, `a name has at most ${maxNameBytes} bytes, found ${name.length}`)
  if (name === '' || name === '.' || name === '..' || name.includes('\0'))
    throw refused(entry, `${quoteName(name)} is not a name`)
}

export function refused(entry: Entry, why: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot place ${entry.type} ${quoteName(entry.path)}: ${why}`)
}
