/** The attributes of inodes in layout 2 (write-v2.ts). */
import type { Inode } from '../../tree.ts'
import { compareNames } from '../../tree.ts'
import { externalContent, metacopyValue, placeOf, redirectValue } from '../external.ts'
import { type Node, limit } from './rs-nodes.ts'
import { align, nameMax, xattrBody, xattrFilterSeed, xattrPrefixLustre } from '../../erofs/erofs-records.ts'
import { escapeXattrs, metacopyName, redirectName, splitName } from '../overlay-xattrs.ts'
import { xxh32 } from '../../erofs/xxh32.ts'

/** The format counts shared attributes of an inode in a byte. */
const sharedMax = 255

export interface Xattr {
  readonly index: number
  readonly suffix: string
  readonly value: Buffer
  readonly bytes: number
  /** How many inodes have it, and where the table has it. */
  uses: number
  offset: number
}

/** Gives every inode its attributes; returns the shared ones in table order. */
export function shareXattrs(nodes: readonly Node[]): Xattr[] {
  const known = new Map<string, Xattr>()
  for (const node of nodes)
    for (const [name, value] of xattrsOf(node.inode)) {
      const xattr = intern(known, name, value)
      xattr.uses++
      node.local.push(xattr)
      node.nameFilter &= ~(1 << (xxh32(xattr.suffix, (xattrFilterSeed + xattr.index) | 0) & 31))
    }
  for (const node of nodes) {
    if (node.local.length === 0) continue
    node.shared = node.local.filter(({ uses }) => uses > 1)
    node.local = node.local.filter(({ uses }) => uses === 1)
    node.xattrBytes = areaBytes(node)
  }
  return [...known.values()].filter(({ uses }) => uses > 1).sort(tableOrder)
}

function xattrsOf(inode: Inode): [name: string, value: Uint8Array][] {
  const content = externalContent(inode)
  const own = [...escapeXattrs(inode.xattrs)].sort(([a], [b]) => compareNames(unescaped(a), unescaped(b)))
  if (content === undefined) return own
  const metacopy: [string, Uint8Array] = [metacopyName, metacopyValue(content)]
  return placeOf(content) === '' ? [metacopy, ...own] : [metacopy, [redirectName, redirectValue(content)], ...own]
}

/** They are sorted before they are escaped. */
function unescaped(name: string): string {
  return name.replace(/^trusted\.overlay\.overlay\./, 'trusted.overlay.')
}

function intern(known: Map<string, Xattr>, name: string, value: Uint8Array): Xattr {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const key = `${name}\0${bytes.toString('latin1')}`
  let xattr = known.get(key)
  if (xattr === undefined) {
    const { index, suffix } = splitNameV2(name)
    if (suffix.length > nameMax || bytes.length > 0xffff)
      throw limit(`an extended attribute has a name of ${suffix.length} and a value of ${bytes.length} bytes`)
    const size = align(4 + suffix.length + bytes.length, 4)
    known.set(key, (xattr = { index, suffix, value: bytes, bytes: size, uses: 0, offset: 0 }))
  }
  return xattr
}

/** Unlike mkcomposefs, this layout knows `lustre.`. */
function splitNameV2(name: string): { index: number; suffix: string } {
  return name.startsWith('lustre.')
    ? { index: xattrPrefixLustre, suffix: name.slice('lustre.'.length) }
    : splitName(name)
}

function areaBytes({ shared, local }: Node): number {
  if (shared.length > sharedMax) throw limit(`an inode has ${shared.length} attributes that others have as well`)
  const bytes = local.reduce((sum, xattr) => sum + xattr.bytes, xattrBody.bytes + 4 * shared.length)
  if (bytes > xattrBody.bytes + 4 * 0xfffe) throw limit(`an inode has ${bytes} bytes of attributes`)
  return bytes
}

function tableOrder(a: Xattr, b: Xattr): number {
  return a.index - b.index || compareNames(a.suffix, b.suffix) || Buffer.compare(a.value, b.value)
}
