/** The attributes of inodes in composefs-rs' own layout (write-rs.ts). */
import { align, nameMax, xattrBody, xattrPrefixLustre } from '../../erofs/erofs-records.ts'
import { type SplitName, filterBit, splitName } from '../../erofs/xattr-names.ts'
import { type Inode, compareNames } from '../../tree.ts'
import { externalContent, metacopyValue, placeOf, redirectValue } from '../external-content.ts'
import { escapeXattrs, metacopyName, redirectName, unescapedName } from '../overlay-xattrs.ts'
import { type RsNode, type RsXattr, limit } from './rs-nodes.ts'

/** The format counts shared attributes of an inode in a byte. */
const sharedMax = 255

/** Gives every inode its attributes; returns the shared ones in table order. */
export function shareXattrs(nodes: readonly RsNode[]): RsXattr[] {
  const known = new Map<string, RsXattr>()
  for (const node of nodes)
    for (const [name, value] of xattrsOf(node.inode)) {
      const xattr = intern(known, name, value)
      xattr.uses++
      node.local.push(xattr)
      node.nameFilter &= ~filterBit(xattr)
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
  // They are sorted before they are escaped.
  const own = [...escapeXattrs(inode.xattrs)].sort(([a], [b]) => compareNames(unescapedName(a), unescapedName(b)))
  if (content === undefined) return own
  const metacopy: [string, Uint8Array] = [metacopyName, metacopyValue(content)]
  return placeOf(content) === '' ? [metacopy, ...own] : [metacopy, [redirectName, redirectValue(content)], ...own]
}

function intern(known: Map<string, RsXattr>, name: string, value: Uint8Array): RsXattr {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  const key = `${name}\0${bytes.toString('latin1')}`
  let xattr = known.get(key)
  if (xattr === undefined) {
    const { index, suffix } = splitRsName(name)
    if (suffix.length > nameMax || bytes.length > 0xffff)
      throw limit(`an extended attribute has a name of ${suffix.length} and a value of ${bytes.length} bytes`)
    const size = align(4 + suffix.length + bytes.length, 4)
    known.set(key, (xattr = { index, suffix, value: bytes, bytes: size, uses: 0, offset: 0 }))
  }
  return xattr
}

/** Splits a name as splitName does, but for `lustre.`, which this layout knows and mkcomposefs does not. */
function splitRsName(name: string): SplitName {
  return name.startsWith('lustre.')
    ? { index: xattrPrefixLustre, suffix: name.slice('lustre.'.length) }
    : splitName(name)
}

function areaBytes({ shared, local }: RsNode): number {
  if (shared.length > sharedMax) throw limit(`an inode has ${shared.length} attributes that others have as well`)
  const bytes = local.reduce((sum, xattr) => sum + xattr.bytes, xattrBody.bytes + 4 * shared.length)
  if (bytes > xattrBody.bytes + 4 * 0xfffe) throw limit(`an inode has ${bytes} bytes of attributes`)
  return bytes
}

function tableOrder(a: RsXattr, b: RsXattr): number {
  return a.index - b.index || compareNames(a.suffix, b.suffix) || Buffer.compare(a.value, b.value)
}
