import type { VerityDigest } from '../digest.ts'

/**
 * The model between all formats: readers yield entries, writers take them.
 *
 * Names are bytes: `path`, `link` and xattr names are strings with one char per byte (latin1), converted at the edges.
 */
export interface Entry {
  /** Cleaned: no leading, trailing or double slash, no `.` or `..`; '' is the root. */
  readonly path: string
  readonly type: EntryType
  /** Permission bits including setuid, setgid and sticky (0o7777); the type is in `type`. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Whole seconds since 1970, possibly negative. */
  readonly mtime: number
  /** 0 … 999,999,999, always added to `mtime`. */
  readonly mtimeNsec: number
  /** Devices only, else 0. */
  readonly major: number
  readonly minor: number
  /** Symlink: the target as written. Hard link: the cleaned path of the target. Else ''. */
  readonly link: string
  readonly xattrs: Xattrs
  /** Files only, else `{ kind: 'empty' }`. */
  readonly content: Content
}

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'socket'

/** Full name (`user.x`, `security.capability`) → value. */
export type Xattrs = ReadonlyMap<string, Uint8Array>

export const noXattrs: Xattrs = new Map()

/** Files up to this many bytes live in the image and the recipe instead of in an object of their own. */
export const inlineMax = 64

/** What a file holds, with the digests known so far. */
export type Content =
  | { readonly kind: 'empty' }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  /** `path`: where the bytes lie below the object directory when that is not the digest's own `ab/cdef…`; '' is nowhere. */
  | { readonly kind: 'object'; readonly digest: VerityDigest; readonly size: number; readonly path?: string }
  /** Only its length is known: a body that is still to come, or that nobody asked for. `path`: a place kept for it. */
  | { readonly kind: 'unknown'; readonly size: number; readonly path?: string }

export const noContent: Content = { kind: 'empty' }

/** An entry of which only this is to be said: nobody in particular has it (uid 0), nothing is in it, made in 1970. */
export function newEntry(facts: Pick<Entry, 'path' | 'type'> & Partial<Entry>): Entry {
  return {
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNsec: 0,
    major: 0,
    minor: 0,
    link: '',
    xattrs: noXattrs,
    content: noContent,
    ...facts,
  }
}

export function sizeOf(content: Content): number {
  switch (content.kind) {
    case 'empty':
      return 0
    case 'inline':
      return content.bytes.length
    case 'object':
    case 'unknown':
      return content.size
  }
}
