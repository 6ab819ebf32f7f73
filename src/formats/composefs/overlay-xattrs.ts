/**
 * The names of extended attributes that overlayfs reads as orders, and the names that composefs gives to a user's.
 *
 * In a composefs image every `trusted.overlay.` attribute is an order to the overlay mount: where a file's bytes lie, what
 * is hidden. One that a *user's* file happens to carry is stored with `overlay.` inserted once more, which overlayfs
 * takes off again when it shows the file.
 */
import type { Xattrs } from '../entry.ts'

export const overlayPrefix = 'trusted.overlay.'
export const escapedPrefix = 'trusted.overlay.overlay.'

/** Attribute of a regular file whose bytes are elsewhere; the value may hold their fs-verity digest. */
export const metacopyName = 'trusted.overlay.metacopy'
/** Attribute that says where they are: an absolute path in the data layers. */
export const redirectName = 'trusted.overlay.redirect'
/** Attribute of a directory through which nothing below shows. `y` on the root of every composefs image. */
export const opaqueName = 'trusted.overlay.opaque'

/** Marks of the empty regular file that stands for a user's own 0:0 device, and of its directory. */
export const whiteoutNames = ['trusted.overlay.overlay.whiteout', 'user.overlay.whiteout'] as const
export const whiteoutsNames = ['trusted.overlay.overlay.whiteouts', 'user.overlay.whiteouts'] as const
/** Marks that version 1 adds to that directory, with the value `x`. */
export const opaqueWhiteoutsNames = ['trusted.overlay.overlay.opaque', 'user.overlay.opaque'] as const

/** The role of an attribute in a composefs image, which its name tells. */
export type XattrRole =
  /** An order to overlayfs that composefs images hold. */
  | 'metacopy'
  | 'redirect'
  | 'opaque'
  /** Another order to overlayfs. */
  | 'order'
  /** The mark of a file that stands for a whiteout, and those of its directory that both versions of the format have. */
  | 'whiteout mark'
  | 'whiteouts mark'
  /** The user's own, though it may be one of the marks that version 1 adds to a directory. */
  | 'user'

export function roleOf(name: string): XattrRole {
  return roles.get(name) ?? (isOverlayOrder(name) ? 'order' : 'user')
}

const roles: ReadonlyMap<string, XattrRole> = new Map<string, XattrRole>([
  [metacopyName, 'metacopy'],
  [redirectName, 'redirect'],
  [opaqueName, 'opaque'],
  ...whiteoutNames.map((name) => [name, 'whiteout mark'] as const),
  ...whiteoutsNames.map((name) => [name, 'whiteouts mark'] as const),
])

/** Whether overlayfs takes an attribute as an order, rather than one that it shows under another name. */
export function isOverlayOrder(name: string): boolean {
  return name.startsWith(overlayPrefix) && !name.startsWith(escapedPrefix)
}

/** A new map of the user's attributes under the names that they are stored under. */
export function escapeXattrs(xattrs: Xattrs): Map<string, Uint8Array> {
  const escaped = new Map<string, Uint8Array>()
  for (const [name, value] of xattrs)
    escaped.set(name.startsWith(overlayPrefix) ? escapedPrefix + name.slice(overlayPrefix.length) : name, value)
  return escaped
}

/** The name that a stored attribute has for the user: overlayfs takes the same prefix off. */
export function unescapedName(name: string): string {
  return name.startsWith(escapedPrefix) ? overlayPrefix + name.slice(escapedPrefix.length) : name
}
