import type { VerityDigest } from '../digest.ts'

/**
 * Entry of an archive or image, the model between all formats: readers yield entries, writers take them.
 *
 * Names are bytes: `path`, `link` and xattr names are strings with one char per byte (latin1), converted at the edges.
 */
export interface Entry {
  /** Cleaned path: no leading, trailing or double slash, no `.` or `..`; '' is the root. */
  readonly path: string
  readonly type: EntryType
  /** Permission bits including setuid, setgid and sticky (0o7777); the type is in `type`. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Modification time in whole seconds since 1970, possibly negative. */
  readonly mtime: number
  /** Nanoseconds, 0 … 999,999,999, always added to `mtime`. */
  readonly mtimeNsec: number
  /** Number of a device; 0 for everything else. */
  readonly major: number
  readonly minor: number
  /** Target of a symlink as written, or the cleaned path of a hard link's target; '' for everything else. */
  readonly link: string
  readonly xattrs: Xattrs
  /** Content of a file; `{ kind: 'empty' }` for everything else. */
  readonly content: Content
}

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo' | 'socket'

/** Values of extended attributes by their full names (`user.x`, `security.capability`). */
export type Xattrs = ReadonlyMap<string, Uint8Array>

export const noXattrs: Xattrs = new Map()

/** Largest file, in bytes, that lives in the image and the recipe instead of in an object of its own. */
export const inlineMax = 64

/** Content of a file, with the digests known so far. */
export type Content =
  | { readonly kind: 'empty' }
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  /**
   * Content of an object. `path` is its place below the object directory when that is not the digest's own `ab/cdef…`;
   * '' is nowhere.
   */
  | { readonly kind: 'object'; readonly digest: VerityDigest; readonly size: number; readonly path?: string }
  /**
   * Content of which only the length is known: a body that is still to come, or that nobody asked for. `path` is a
   * place kept for it.
   */
  | { readonly kind: 'unknown'; readonly size: number; readonly path?: string }

export const noContent: Content = { kind: 'empty' }

/** Makes an entry with defaults for what is not given: uid 0, no content, time 0. */
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
