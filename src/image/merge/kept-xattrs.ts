import type { LayerKind } from '../../formats/layer-kind.ts'
import { type Entry, type Xattrs, noXattrs } from '../../formats/entry.ts'

/**
 * Returns the extended attributes of an entry that are part of the tree: those a user of the mount could see, less
 * those that steer the mount or describe another machine. Attributes that are left out stay in the recipe. docs/tree.md
 * gives the reasons.
 */
export function keptXattrs(entry: Entry, kind: LayerKind, keepSelinux: boolean): Xattrs {
  const kept = new Map<string, Uint8Array>()
  for (const [name, value] of entry.xattrs) if (isKept(name, entry, kind, keepSelinux)) kept.set(name, value)
  if (kept.size === 0) return noXattrs
  return kept.size === entry.xattrs.size ? entry.xattrs : kept
}

function isKept(name: string, { type }: Entry, kind: LayerKind, keepSelinux: boolean): boolean {
  if (name.startsWith('user.')) return type === 'file' || type === 'directory'
  if (name.startsWith('trusted.')) return kind === 'plain'
  if (name === 'security.selinux') return keepSelinux
  if (name.startsWith('security.')) return true
  if (name === 'system.posix_acl_access') return type !== 'symlink'
  if (name === 'system.posix_acl_default') return type === 'directory'
  return false
}
