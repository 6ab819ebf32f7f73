/**
 * Extended attributes as EROFS stores them, and the ones overlayfs reads as orders.
 *
 * In a composefs image every `trusted.overlay.` attribute is an order to the overlay mount: where a file's bytes lie, what
 * is hidden. One that a *user's* file happens to carry is stored with `overlay.` inserted once more, which overlayfs
 * takes off again when it shows the file.
 */
import { OnefoldError } from '../../error.ts'
import type { Xattrs } from '../entry.ts'
import { align, nameMax, xattrEntry, xattrFilterSeed, xattrPrefixes } from '../erofs/erofs-records.ts'
import { xxh32 } from '../erofs/xxh32.ts'

export const overlayPrefix = 'trusted.overlay.'
export const escapedPrefix = 'trusted.overlay.overlay.'

/** On a regular file: its bytes are elsewhere; the value may hold their fs-verity digest. */
export const metacopyName = 'trusted.overlay.metacopy'
/** On a regular file: where they are, an absolute path in the data layers. */
export const redirectName = 'trusted.overlay.redirect'
/** On a directory: nothing below shows through. `y` on the root of every composefs image. */
export const opaqueName = 'trusted.overlay.opaque'

/** On the empty regular file that stands for a user's own 0:0 device, and on its directory. */
export const whiteoutNames = ['trusted.overlay.overlay.whiteout', 'user.overlay.whiteout'] as const
export const whiteoutsNames = ['trusted.overlay.overlay.whiteouts', 'user.overlay.whiteouts'] as const
/** Added to that directory since version 1, with the value `x`. */
export const opaqueWhiteoutsNames = ['trusted.overlay.overlay.opaque', 'user.overlay.opaque'] as const

/** What precedes the digest in a metacopy value: version 0, length 36, flags 0, sha256. */
export const metacopyHead: readonly number[] = [0, 36, 0, 1]
export const metacopyBytes = 36
/** The same for a sha512 digest. */
export const metacopyBytes512 = 68
export const metacopyHead512: readonly number[] = [0, 68, 0, 2]

/** The user's xattrs as they are stored: a new map. */
export function escapeXattrs(xattrs: Xattrs): Map<string, Uint8Array> {
  const escaped = new Map<string, Uint8Array>()
  for (const [name, value] of xattrs)
    escaped.set(name.startsWith(overlayPrefix) ? escapedPrefix + name.slice(overlayPrefix.length) : name, value)
  return escaped
}

/** The prefix index of a full name, and the rest of it: the first prefix that fits, else 0 and everything. */
export function splitName(name: string): { index: number; suffix: string } {
  for (const [index, prefix] of xattrPrefixes)
    if (name.startsWith(prefix)) return { index, suffix: name.slice(prefix.length) }
  return { index: 0, suffix: name }
}

/** The bit that a name clears in its inode's name filter. */
export function filterBit(name: string): number {
  const { index, suffix } = splitName(name)
  return (1 << (xxh32(suffix, (xattrFilterSeed + index) | 0) & 31)) >>> 0
}

/** One xattr entry, padded to a multiple of four bytes. */
export function encodeXattr(name: string, value: Uint8Array): Uint8Array {
  const { index, suffix } = splitName(name)
  if (suffix.length > nameMax || value.length > 0xffff || name === '')
    throw new OnefoldError(
      'LIMIT',
      `Cannot write xattr ${JSON.stringify(name.slice(0, 80))} (${value.length} bytes): EROFS holds names of ${nameMax} and values of ${0xffff} bytes`,
    )
  const bytes = Buffer.alloc(align(xattrEntry.bytes + suffix.length + value.length, 4))
  bytes[xattrEntry.nameLength] = suffix.length
  bytes[xattrEntry.nameIndex] = index
  bytes.writeUInt16LE(value.length, xattrEntry.valueLength)
  bytes.write(suffix, xattrEntry.bytes, 'latin1')
  bytes.set(value, xattrEntry.bytes + suffix.length)
  return bytes
}
