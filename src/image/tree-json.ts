import type { VerityDigest } from '../digest.ts'
import { pathToBytes } from '../paths.ts'
import { groupsOf } from './diff-trees.ts'
import { type NodeType, nodeTypeOf, unpackDevice } from '../formats/node-type.ts'
import { type Directory, type Inode, type InodeInfo, inodeOf, namesBelow } from '../formats/tree.ts'

/** Text where the bytes are UTF-8, as they nearly always are; otherwise the bytes in hexadecimal. */
export type JsonBytes = string | { readonly hex: string }

/** One name of a tree; docs/tree.md describes the form. Fields that have nothing to say are left out. */
export interface JsonEntry {
  /** Path from the root, with a leading slash; the root is "/". */
  readonly path: JsonBytes
  readonly type: NodeType
  /** Permissions as four octal digits, without the type. */
  readonly mode: string
  readonly uid: number
  readonly gid: number
  /** Modification time in whole seconds; `mtimeNsec` is to be added. */
  readonly mtime: number
  readonly mtimeNsec?: number
  /** Size of a file. */
  readonly size?: number
  /** fs-verity digest of a file's object, for files with an object of their own. */
  readonly object?: VerityDigest
  /** Bytes of a small file in base64. */
  readonly inline?: string
  /** Target of a symlink. */
  readonly target?: JsonBytes
  /** Major and minor number of a device. */
  readonly device?: readonly [number, number]
  /** Extended attributes in byte order of name, with values in base64. */
  readonly xattrs?: readonly { readonly name: JsonBytes; readonly value: string }[]
  /** Number of names that the inode has, where it has several. */
  readonly names?: number
  /** First of those names, on all the others. */
  readonly link?: JsonBytes
}

/** Yields every name of a finished tree as JSON, the root first, in depth-first byte order. */
export function* treeToJson(root: Directory): Generator<JsonEntry> {
  for (const { path, inode, link } of walk(root)) yield jsonEntry(path, inode, link)
}

export interface Walked {
  /** Path of the name; '' is the root. */
  readonly path: string
  readonly inode: Inode
  /** First name of the inode, when this is another one. */
  readonly link: string | undefined
}

/** Yields every name of a finished tree, the root first, in depth-first byte order. */
export function* walk(root: Directory): Generator<Walked> {
  const groups = groupsOf(root)
  yield { path: '', inode: root, link: undefined }
  for (const { path, child } of namesBelow(root)) {
    const inode = inodeOf(child)
    const first = groups.get(inode)
    yield { path, inode, link: first === path ? undefined : first }
  }
}

/** Returns one name as JSON; `path` and `link` are as in `Walked`. */
export function jsonEntry(path: string, inode: InodeInfo, link: string | undefined): JsonEntry {
  return {
    path: jsonBytes(`/${path}`),
    type: nodeTypeOf(inode),
    mode: (inode.mode & 0o7777).toString(8).padStart(4, '0'),
    uid: inode.uid,
    gid: inode.gid,
    mtime: inode.mtime,
    ...(inode.mtimeNsec !== 0 && { mtimeNsec: inode.mtimeNsec }),
    ...bodyOf(inode),
    ...(inode.xattrs.size > 0 && { xattrs: xattrsOf(inode) }),
    ...(nodeTypeOf(inode) !== 'directory' && inode.nlink > 1 && { names: inode.nlink }),
    ...(link !== undefined && { link: jsonBytes(`/${link}`) }),
  }
}

function bodyOf(inode: InodeInfo): Partial<JsonEntry> {
  switch (nodeTypeOf(inode)) {
    case 'file':
      return contentOf(inode)
    case 'symlink':
      return { target: jsonBytes(inode.target) }
    case 'char':
    case 'block':
      return { device: unpackDevice(inode.rdev) }
    case 'directory':
    case 'fifo':
    case 'socket':
      return {}
  }
}

function contentOf({ content }: InodeInfo): Partial<JsonEntry> {
  switch (content.kind) {
    case 'empty':
      return { size: 0 }
    case 'inline':
      return { size: content.bytes.length, inline: Buffer.from(content.bytes).toString('base64') }
    case 'object':
      return { size: content.size, object: content.digest }
    case 'unknown':
      return { size: content.size }
  }
}

function xattrsOf(inode: InodeInfo): { name: JsonBytes; value: string }[] {
  return [...inode.xattrs.keys()]
    .sort()
    .map((name) => ({ name: jsonBytes(name), value: Buffer.from(inode.xattrs.get(name) ?? []).toString('base64') }))
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function jsonBytes(path: string): JsonBytes {
  const bytes = pathToBytes(path)
  try {
    return utf8.decode(bytes)
  } catch {
    return { hex: bytes.toString('hex') }
  }
}
