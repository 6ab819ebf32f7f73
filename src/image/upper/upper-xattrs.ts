import { type Entry, type Xattrs, noXattrs } from '../../formats/entry.ts'
import { pathFromBytes } from '../../paths.ts'

/**
 * Attributes by which overlayfs keeps its own account of an upper directory (Documentation/filesystems/overlayfs.rst).
 * They lie below `trusted.overlay.`, which nobody in a container can write, or below `user.overlay.` where the mount
 * was made with `userxattr`. In the other kind of upper directory `user.overlay.*` is what some program wrote: data.
 */
export type OverlayPrefix = 'trusted' | 'user'

export interface OverlayMarks {
  /** True when nothing of the layers below shows in this directory. */
  readonly opaque: boolean
  /** True when regular files of this directory may be marked as whiteouts. */
  readonly holdsWhiteouts: boolean
  readonly whiteout: boolean
  /** Path of the lower part of a directory, or of the data of a file: a name beside this one, or an absolute path. */
  readonly redirect: string | undefined
  /** True for a file of which only the metadata was changed; its bytes are those of the layer below. */
  readonly metacopy: boolean
}

const noMarks: OverlayMarks = {
  opaque: false,
  holdsWhiteouts: false,
  whiteout: false,
  redirect: undefined,
  metacopy: false,
}

export function overlayMarks(xattrs: Xattrs, prefix: OverlayPrefix): OverlayMarks {
  if (xattrs.size === 0) return noMarks
  const text = (name: string): string | undefined => {
    const value = xattrs.get(`${prefix}.overlay.${name}`)
    return value && pathFromBytes(value)
  }
  return {
    opaque: text('opaque') === 'y',
    holdsWhiteouts: text('opaque') === 'x',
    whiteout: text('whiteout') !== undefined,
    redirect: text('redirect'),
    metacopy: text('metacopy') !== undefined,
  }
}

export interface LayerXattrOptions {
  /** Namespace of the overlay's account, which is left out; undefined when no overlay made the directory. */
  readonly prefix: OverlayPrefix | undefined
  readonly keepSelinux: boolean
}

/**
 * Returns the attributes that a layer passes to other machines: `user.*`, `security.*` without this machine's labels,
 * and ACLs. `trusted.*` is left out: it is state of this machine, and where another engine set it again it could steer
 * that engine's mounts.
 */
export function layerXattrs({ xattrs }: Pick<Entry, 'xattrs'>, options: LayerXattrOptions): Xattrs {
  if (xattrs.size === 0) return noXattrs
  const kept = new Map<string, Uint8Array>()
  for (const [name, value] of xattrs) {
    const known = layerName(name, options)
    if (known !== undefined) kept.set(known, value)
  }
  return kept.size === 0 ? noXattrs : kept
}

const own = 'user.overlay.'
/**
 * Prefix that the kernel gives a program's own `user.overlay.x`, so that it cannot be taken for an account of its own.
 */
const escaped = 'user.overlay.overlay.'

function layerName(name: string, { prefix, keepSelinux }: LayerXattrOptions): string | undefined {
  if (prefix === 'user' && name.startsWith(own))
    return name.startsWith(escaped) ? own + name.slice(escaped.length) : undefined
  if (name === 'security.selinux') return keepSelinux ? name : undefined
  return /^(?:user|security)\.|^system\.posix_acl_(?:access|default)$/.test(name) ? name : undefined
}

/**
 * Tells whether an attribute is left out that a program may have meant: no account of overlayfs, and nothing it
 * escaped.
 */
export function losesTrusted(xattrs: Xattrs): boolean {
  return xattrs.keys().some((name) => name.startsWith('trusted.') && !name.startsWith('trusted.overlay.'))
}
