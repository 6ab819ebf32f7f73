/** Numbers that Linux has for nodes: the type in st_mode, the device in st_rdev. */
import type { EntryType } from './entry.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from './tree.ts'

/** Type of what a name leads to; a hard link is no type of its own. */
export type NodeType = Exclude<EntryType, 'hardlink'>

/** Bits of st_mode that say a type. */
export const typeBits: Readonly<Record<EntryType, number>> = {
  file: S_IFREG,
  directory: S_IFDIR,
  hardlink: 0, // its target says what it is
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
  socket: S_IFSOCK,
}

const types: ReadonlyMap<number, NodeType> = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFCHR, 'char'],
  [S_IFBLK, 'block'],
  [S_IFIFO, 'fifo'],
  [S_IFSOCK, 'socket'],
])

/** Reads the type out of st_mode. */
export function nodeTypeOf({ mode }: { readonly mode: number }): NodeType {
  return types.get(mode & S_IFMT) ?? 'file'
}

/** Packs a device into Linux's 32-bit form, which has a major number of 12 bits and a minor one of 20. */
export function packDevice({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return (((major & 0xfff) << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12)) >>> 0
}

/** Splits Linux's 32-bit form. */
export function unpackDevice(rdev: number): [major: number, minor: number] {
  return [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)]
}
