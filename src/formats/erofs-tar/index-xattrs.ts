/** The extended attributes of an inode as an index holds them: its own, and those by which overlayfs knows whiteouts. */
import type { Entry, Xattrs } from '../entry.ts'
import { encodeXattr } from '../erofs/encode-xattr.ts'
import { align, xattrBody, xattrEntry } from '../erofs/erofs-records.ts'
import { filterBit, splitName } from '../erofs/xattr-names.ts'
import { quoteName } from '../path.ts'
import type { IndexInode } from './index-inode.ts'

/** Prefix of attributes that are orders to overlayfs. */
const overlayPrefix = 'trusted.overlay.'
/** Attribute by which overlayfs hides all that lower layers have in a directory, and the value that it must have. */
export const opaqueXattr = 'trusted.overlay.opaque'
export const opaqueValue = Buffer.from('y')
/** Attribute by which overlayfs knows that a directory may hold whiteouts, which it must not show. */
export const originXattr = 'trusted.overlay.origin'

const wordBytes = 4
const valueMax = 0xffff
/** An inode counts the words of its attributes in 16 bits; two of ours may come to those of a layer. */
const bytesMax = wordBytes * 0xffff - entryBytes(opaqueXattr, opaqueValue.length) - entryBytes(originXattr, 0)

/** Picks the attributes of an entry that an index can hold; `lose` is told of each that it cannot. */
export function heldXattrs({ xattrs }: Entry, lose: (what: string) => void): Xattrs {
  let bytes: number = xattrBody.bytes
  const held = new Map<string, Uint8Array>()
  for (const [name, value] of xattrs) {
    const size = entryBytes(name, value.length)
    const why = refusal(name, value, bytes + size)
    if (why === undefined) {
      held.set(name, value)
      bytes += size
    } else lose(why)
  }
  return held.size === xattrs.size ? xattrs : held
}

function refusal(name: string, value: Uint8Array, bytes: number): string | undefined {
  const shown = quoteName(name)
  if (name.startsWith(overlayPrefix)) return `the attribute ${shown}, by which it says what is a whiteout`
  if (value.length > valueMax) return `${value.length} bytes of the attribute ${shown}`
  return bytes > bytesMax ? `${bytes} bytes of attributes` : undefined
}

/** Writes the attributes of an inode as they stand behind its record; nothing where there are none. */
export function encodeXattrs(inode: IndexInode): Uint8Array {
  const xattrs = allXattrs(inode)
  if (xattrs.length === 0) return new Uint8Array(0)
  const header = Buffer.alloc(xattrBody.bytes)
  const filter = xattrs.reduce((bits, [name]) => bits | filterBit(splitName(name)), 0)
  header.writeInt32LE(~filter, xattrBody.nameFilter)
  return Buffer.concat([header, ...xattrs.map(([name, value]) => encodeXattr(name, value))])
}

/** Lists the attributes of an inode in byte order of name. */
function allXattrs({ xattrs, isOpaque, hasWhiteouts }: IndexInode): [name: string, value: Uint8Array][] {
  const all = [...xattrs]
  if (isOpaque) all.push([opaqueXattr, opaqueValue])
  if (hasWhiteouts) all.push([originXattr, new Uint8Array(0)])
  return all.sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Counts the bytes of an attribute as writers do, or with its prefix as readers do: whichever is more. */
function entryBytes(name: string, valueLength: number): number {
  const stored = align(xattrEntry.bytes + splitName(name).suffix.length + valueLength, wordBytes)
  return Math.max(stored, name.length + valueLength)
}
