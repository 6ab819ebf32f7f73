/**
 * What an inode of an image means to its user: composefs' attributes become contents, escapes are taken off.
 *
 * In a plain EROFS image nothing has such a meaning: attributes are the user's own, whatever their names.
 */
import type { VerityDigest } from '../../digest.ts'
import { pathFromBytes } from '../../paths.ts'
import {
  type Directory,
  type Inode,
  type InodeInfo,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../tree.ts'
import { type Content, type Xattrs, inlineMax, noContent, noXattrs } from '../entry.ts'
import { bad, type ErofsReader, type RawInode, type RawXattr, unsupported } from '../erofs/erofs-reader.ts'
import { chunkBased, inlineContentMax } from '../erofs/erofs-records.ts'
import {
  escapedPrefix,
  metacopyBytes,
  metacopyBytes512,
  metacopyHead,
  metacopyHead512,
  metacopyName,
  opaqueName,
  opaqueWhiteoutsNames,
  overlayPrefix,
  redirectName,
  whiteoutNames,
  whiteoutsNames,
} from './overlay-xattrs.ts'

/** An inode as the tree has it, children left out. */
export type FileInfo = InodeInfo & { readonly nid: number }

type Attributes = Pick<Inode, 'mode' | 'content' | 'xattrs'>

export interface ErofsReadOptions {
  /**
   * Accept files whose bytes lie elsewhere than at their digest's own path. Off by default: an image could name any
   * file of the object directory, or none.
   */
  readonly foreignPaths?: boolean
  /**
   * Plain EROFS images: what a file of more than 64 bytes becomes. It is called once per file, with its bytes in order.
   * Left out, such a file's content is unknown. The size is a claim: chunks can be holes.
   */
  readonly content?: (size: number, data: Iterable<Uint8Array>) => Content
}

export class Meaning {
  readonly #image: ErofsReader
  readonly #options: ErofsReadOptions
  readonly #composefs: boolean
  /** Whether overlayfs' whiteouts are used and escaped: in composefs-rs' own layout, version 2, they are not. */
  readonly #whiteouts: boolean
  /** Attributes by the places of the shared entries they consist of. */
  readonly #sharedSets = new Map<string, Xattrs>()
  /** Whether the image's digests are sha512; undefined before the first. */
  #isWide: boolean | undefined

  constructor(image: ErofsReader, options: ErofsReadOptions) {
    this.#image = image
    this.#options = options
    this.#composefs = image.composefsVersion !== undefined
    this.#whiteouts = this.#composefs && image.composefsVersion !== legacyVersion
    if (image.composefsVersion !== undefined && image.composefsVersion > legacyVersion)
      throw unsupported(`composefs version ${image.composefsVersion}`)
  }

  /** Whiteouts are still the empty files that stand for them: that they are whiteouts shows in their directory only. */
  describe(raw: RawInode): FileInfo {
    const type = raw.mode & S_IFMT
    const stored = this.#image.xattrs(raw)
    return {
      nid: raw.nid,
      mode: raw.mode,
      uid: raw.uid,
      gid: raw.gid,
      mtime: raw.mtime,
      mtimeNsec: raw.mtimeNsec,
      rdev: type === S_IFCHR || type === S_IFBLK ? raw.union : 0,
      nlink: raw.nlink,
      xattrs: this.#composefs ? this.#userXattrs(raw, stored) : asMap(stored),
      content: type === S_IFREG ? this.#content(raw, stored) : noContent,
      target: type === S_IFLNK ? this.#image.target(raw) : '',
    }
  }

  /** One of the 256 devices in the root that hide the object directories. */
  isStub(directory: RawInode, name: string, raw: RawInode): boolean {
    if (!this.#whiteouts || (raw.mode & S_IFMT) !== S_IFCHR || raw.union !== 0) return false
    if (directory.nid === this.#image.rootNid && stubName.test(name)) return true
    throw bad(`inode ${raw.nid} is a whiteout to overlayfs, which no composefs image holds`)
  }

  /** A composefs image hides all object directories, in two ways: else a mount could show more than this tree. */
  checkRoot(raw: RawInode, root: Directory, stubs: number): void {
    if (!this.#whiteouts) return
    const own = [...root.children.keys()].filter((name) => stubName.test(name)).length
    if (stubs + own !== 256) throw bad(`its root hides ${stubs + own} of 256 object directories`)
    if (!this.#image.xattrs(raw).some(({ name }) => name === opaqueName)) throw bad('its root is not opaque')
  }

  /** The empty file that stands for a 0:0 device, provided that its directory says it holds some. */
  mayBeWhiteout(info: Attributes): boolean {
    return (
      this.#whiteouts &&
      (info.mode & S_IFMT) === S_IFREG &&
      info.content.kind === 'empty' &&
      hasAll(info.xattrs, whiteoutNames, '')
    )
  }

  mayHoldWhiteouts(info: Attributes): boolean {
    return (
      this.#composefs &&
      (info.mode & S_IFMT) === S_IFDIR &&
      hasAll(info.xattrs, whiteoutsNames, '') &&
      (this.#image.composefsVersion === 0 || hasAll(info.xattrs, opaqueWhiteoutsNames, 'x'))
    )
  }

  /** The attributes of a directory that does hold whiteouts, as its user set them. */
  withoutWhiteoutMarks(xattrs: Xattrs): Xattrs {
    const marks = this.#image.composefsVersion === 0 ? whiteoutsNames : [...whiteoutsNames, ...opaqueWhiteoutsNames]
    return without(xattrs, marks)
  }

  #userXattrs(raw: RawInode, stored: readonly RawXattr[]): Xattrs {
    const own = stored.filter(({ name, value }) => !this.#isOrder(raw, name, value))
    if (own.length === 0) return noXattrs
    if (own.some(({ shared }) => shared === undefined)) return unescaped(own)
    const key = own.map(({ shared }) => shared).join()
    let set = this.#sharedSets.get(key)
    if (set === undefined) this.#sharedSets.set(key, (set = unescaped(own)))
    return set
  }

  /** What the image tells overlayfs, and may: the content of files, and that the root is opaque. */
  #isOrder(raw: RawInode, name: string, value: Uint8Array): boolean {
    if (!name.startsWith(overlayPrefix) || name.startsWith(escapedPrefix)) return false
    if ((name === metacopyName || name === redirectName) && (raw.mode & S_IFMT) === S_IFREG) return true
    if (name === opaqueName && raw.nid === this.#image.rootNid && isText(value, 'y')) return true
    throw bad(
      `inode ${raw.nid} has the xattr ${JSON.stringify(name)}, an order to overlayfs that no composefs image holds`,
    )
  }

  #content(raw: RawInode, stored: readonly RawXattr[]): Content {
    if (!this.#composefs) return this.#plainContent(raw)
    const metacopy = stored.find(({ name }) => name === metacopyName)
    const redirect = stored.find(({ name }) => name === redirectName)
    if (metacopy !== undefined) return this.#external(raw, metacopy.value, redirect?.value)
    if (redirect !== undefined) throw bad(`inode ${raw.nid} has a redirect but no metacopy`)
    if (raw.size === 0) return noContent
    if (raw.layout === chunkBased) throw bad(`inode ${raw.nid} has neither content nor a metacopy`)
    if (raw.size > inlineContentMax) throw bad(`inode ${raw.nid} has ${raw.size} bytes of content in the image`)
    return { kind: 'inline', bytes: new Uint8Array(Buffer.concat([...this.#image.data(raw)])) }
  }

  #external(raw: RawInode, metacopy: Uint8Array, redirect: Uint8Array | undefined): Content {
    if (raw.size === 0 || raw.layout !== chunkBased)
      throw bad(`inode ${raw.nid} has a metacopy but is no file without content`)
    const { size } = raw
    const path = redirect === undefined ? '' : relative(raw, pathFromBytes(redirect))
    if (metacopy.length === 0) return path === '' ? { kind: 'unknown', size } : { kind: 'unknown', size, path }
    const digest = this.#digest(raw, metacopy)
    if (path === `${digest.slice(0, 2)}/${digest.slice(2)}`) return { kind: 'object', digest, size }
    if (this.#options.foreignPaths !== true)
      throw bad(`inode ${raw.nid} has the digest ${digest} but its bytes at ${JSON.stringify(path.slice(0, 300))}`)
    return { kind: 'object', digest, size, path }
  }

  /** Of sha512 only in images all of whose digests are. */
  #digest({ nid }: RawInode, metacopy: Uint8Array): VerityDigest {
    const isWide = metacopyHead512.every((byte, i) => metacopy[i] === byte)
    const head = isWide ? metacopyHead512 : metacopyHead
    if (metacopy.length !== (isWide ? metacopyBytes512 : metacopyBytes) || head.some((byte, i) => metacopy[i] !== byte))
      throw unsupported(`inode ${nid} has a metacopy of another kind than sha256 and sha512`)
    if ((this.#isWide ??= isWide) !== isWide)
      throw bad(`inode ${nid} has a digest of another kind than those before it`)
    return Buffer.from(metacopy.subarray(head.length)).toString('hex') as VerityDigest
  }

  #plainContent(raw: RawInode): Content {
    const { size } = raw
    if (size === 0) return noContent
    if (size <= inlineMax) return { kind: 'inline', bytes: new Uint8Array(Buffer.concat([...this.#image.data(raw)])) }
    return this.#options.content?.(size, this.#image.data(raw)) ?? { kind: 'unknown', size }
  }
}

/** As write-v2.ts writes it. */
export const legacyVersion = 2
const stubName = /^[0-9a-f]{2}$/

/** A device 0:0 with the permissions of the file that stood for it. */
export function asWhiteout<T extends InodeInfo>(info: T): T {
  return { ...info, mode: (info.mode & ~S_IFMT) | S_IFCHR, xattrs: without(info.xattrs, whiteoutNames) }
}

function relative(raw: RawInode, redirect: string): string {
  const path = redirect.slice(1)
  if (
    !redirect.startsWith('/') ||
    path.split('/').some((name) => name === '' || name === '.' || name === '..') ||
    path.includes('\0')
  )
    throw bad(
      `inode ${raw.nid} has the redirect ${JSON.stringify(redirect.slice(0, 300))}; expected an absolute path without detours`,
    )
  return path
}

function asMap(stored: readonly RawXattr[]): Xattrs {
  return stored.length === 0 ? noXattrs : new Map(stored.map(({ name, value }) => [name, value]))
}

/** The names a user sees: overlayfs takes the same prefix off. */
function unescaped(stored: readonly RawXattr[]): Xattrs {
  return new Map(stored.map(({ name, value }) => [unescapedName(name), value]))
}

export function unescapedName(name: string): string {
  return name.startsWith(escapedPrefix) ? overlayPrefix + name.slice(escapedPrefix.length) : name
}

function hasAll(xattrs: Xattrs, storedNames: readonly string[], text: string): boolean {
  return storedNames.every((name) => isText(xattrs.get(unescapedName(name)), text))
}

function without(xattrs: Xattrs, storedNames: readonly string[]): Xattrs {
  const names = new Set(storedNames.map(unescapedName))
  const rest = new Map([...xattrs].filter(([name]) => !names.has(name)))
  return rest.size === 0 ? noXattrs : rest
}

function isText(value: Uint8Array | undefined, text: string): boolean {
  return value !== undefined && value.length === text.length && (text === '' || value[0] === text.charCodeAt(0))
}
