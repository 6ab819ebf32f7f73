import { type Entry, type EntryType, noContent } from '../formats/entry.ts'
import { nodeTypeOf, unpackDevice } from '../formats/node-type.ts'
import type { Inode } from '../formats/tree.ts'

/**
 * Returns the entry of an inode under one of its names, as archives have it; `link` is its first name where this is
 * another one.
 */
export function entryOf(path: string, inode: Inode, link?: string): Entry {
  const type: EntryType = link === undefined ? nodeTypeOf(inode) : 'hardlink'
  const [major, minor] = type === 'char' || type === 'block' ? unpackDevice(inode.rdev) : [0, 0]
  return {
    path,
    type,
    mode: inode.mode & 0o7777,
    uid: inode.uid,
    gid: inode.gid,
    mtime: inode.mtime,
    mtimeNsec: inode.mtimeNsec,
    major,
    minor,
    link: link ?? inode.target,
    xattrs: inode.xattrs,
    content: link === undefined ? inode.content : noContent,
  }
}
