/**
 * Decodes inodes into what they are to the user of an image: composefs' attributes become contents, escapes are taken off.
 *
 * In a plain EROFS image nothing has such a meaning: attributes are the user's own, whatever their names.
 */
import type { VerityDigest } from '../../digest.ts'
import { pathFromBytes } from '../../paths.ts'
import { type Content, type Xattrs, inlineMax, noContent, noXattrs } from '../entry.ts'
import { bad, unsupported } from '../erofs/erofs-error.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import type { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased } from '../erofs/erofs-records.ts'
import type { XattrName } from '../erofs/erofs-xattr-reader.ts'
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
import { composefsVersion, inlineContentMax, rsLayoutVersion } from './composefs-header.ts'
import { InodeOrders, isWhiteoutDevice } from './inode-orders.ts'
import { readMetacopyValue } from './metacopy.ts'
import { opaqueWhiteoutsNames, unescapedName, whiteoutNames, whiteoutsNames } from './overlay-xattrs.ts'

/** An inode as the tree has it, children left out. */
export type FileInfo = InodeInfo & { readonly nid: number }

type Attributes = Pick<Inode, 'mode' | 'content' | 'xattrs'>

export interface ErofsReadOptions {
  /**
   * Accepts files whose bytes lie elsewhere than at their digest's own path. Off by default: an image could name any
   * file of the object directory, or none.
   */
  readonly foreignPaths?: boolean
  /**
   * Makes the content of a file of more than 64 bytes in a plain EROFS image: called once per file, with its bytes in order.
   * Left out, such a file's content is unknown. The size is a claim: chunks can be holes.
   */
  readonly content?: (size: number, data: Iterable<Uint8Array>) => Content
}

export class InodeDecoder {
  /** Version of the composefs format; undefined for a plain EROFS image. */
  readonly version: number | undefined
  readonly #image: ErofsReader
  readonly #options: ErofsReadOptions
  readonly #orders: InodeOrders
  /** Whether overlayfs' whiteouts are used and escaped: in composefs-rs' own layout they are not. */
  readonly #hasWhiteouts: boolean
  /** Attributes by the places of the shared entries they consist of. */
  readonly #sharedSets = new Map<string, Xattrs>()
  /** Length of the image's digests; undefined before the first. */
  #digestLength: number | undefined

  constructor(image: ErofsReader, options: ErofsReadOptions) {
    this.version = composefsVersion(image)
    this.#image = image
    this.#options = options
    this.#orders = new InodeOrders(image)
    this.#hasWhiteouts = this.#isComposefs && this.version !== rsLayoutVersion
    if (this.version !== undefined && this.version > rsLayoutVersion)
      throw unsupported(`composefs version ${this.version}`)
  }

  get #isComposefs(): boolean {
    return this.version !== undefined
  }

  /**
   * The inode as its user sees it, but for whiteouts, which still are the empty files that stand for them: that they are
   * whiteouts shows in their directory only.
   */
  decode(raw: RawInode): FileInfo {
    const type = raw.mode & S_IFMT
    this.#orders.read(raw)
    return {
      nid: raw.nid,
      mode: raw.mode,
      uid: raw.uid,
      gid: raw.gid,
      mtime: raw.mtime,
      mtimeNsec: raw.mtimeNsec,
      rdev: type === S_IFCHR || type === S_IFBLK ? raw.union : 0,
      nlink: raw.nlink,
      xattrs: this.#isComposefs ? this.#userXattrs(raw) : this.#plainXattrs(),
      content: type === S_IFREG ? this.#content(raw) : noContent,
      target: type === S_IFLNK ? this.#image.target(raw) : '',
    }
  }

  /** Whether an inode is one of the 256 devices in the root that hide the object directories. */
  isStub(directory: RawInode, name: string, raw: RawInode): boolean {
    if (!this.#hasWhiteouts || !isWhiteoutDevice(raw)) return false
    if (directory.nid === this.#image.rootNid && stubName.test(name)) return true
    throw bad(`inode ${raw.nid} is a whiteout to overlayfs, which no composefs image holds`)
  }

  /** Refuses an image that does not hide all object directories, in two ways: a mount of it could show more than this tree. */
  checkRoot(raw: RawInode, root: Directory, stubs: number): void {
    if (!this.#hasWhiteouts) return
    const own = [...root.children.keys()].filter((name) => stubName.test(name)).length
    if (stubs + own !== 256) throw bad(`its root hides ${stubs + own} of 256 object directories`)
    this.#orders.read(raw)
    const { count } = this.#orders.xattrs
    if (!Array.from({ length: count }, (_, i) => this.#orders.roleOf(i)).includes('opaque'))
      throw bad('its root is not opaque')
  }

  /** Whether it is the empty file that stands for a 0:0 device, provided that its directory says it holds some. */
  mayBeWhiteout(info: Attributes): boolean {
    return (
      this.#hasWhiteouts &&
      (info.mode & S_IFMT) === S_IFREG &&
      info.content.kind === 'empty' &&
      hasAll(info.xattrs, whiteoutNames, '')
    )
  }

  mayHoldWhiteouts(info: Attributes): boolean {
    return (
      this.#isComposefs &&
      (info.mode & S_IFMT) === S_IFDIR &&
      hasAll(info.xattrs, whiteoutsNames, '') &&
      (this.version === 0 || hasAll(info.xattrs, opaqueWhiteoutsNames, 'x'))
    )
  }

  /** The attributes of a directory that does hold whiteouts, as its user set them. */
  withoutWhiteoutMarks(xattrs: Xattrs): Xattrs {
    const marks = this.version === 0 ? whiteoutsNames : [...whiteoutsNames, ...opaqueWhiteoutsNames]
    return without(xattrs, marks)
  }

  #plainXattrs(): Xattrs {
    const { count } = this.#orders.xattrs
    if (count === 0) return noXattrs
    return new Map(Array.from({ length: count }, (_, i) => [this.#nameOf(i), this.#valueOf(i)]))
  }

  /** The user's attributes; inodes that share all of theirs have one map with those that have the same. */
  #userXattrs(raw: RawInode): Xattrs {
    const { sharedAt } = this.#orders.xattrs
    const own = this.#ownXattrs(raw)
    if (own.length === 0) return noXattrs
    if (own.some((i) => (sharedAt[i] as number) < 0)) return this.#unescaped(own)
    const key = own.map((i) => sharedAt[i]).join()
    let set = this.#sharedSets.get(key)
    if (set === undefined) this.#sharedSets.set(key, (set = this.#unescaped(own)))
    return set
  }

  /** The indexes of the attributes that are the user's own. */
  #ownXattrs(raw: RawInode): number[] {
    const { count } = this.#orders.xattrs
    const own: number[] = []
    for (let i = 0; i < count; i++)
      switch (this.#orders.roleOf(i)) {
        case 'metacopy':
        case 'redirect':
        case 'opaque':
        case 'order':
          this.#checkOrder(raw, i)
          break
        case 'whiteout mark':
        case 'whiteouts mark':
        case 'user':
          own.push(i)
      }
    return own
  }

  /** Refuses an order to overlayfs other than those an image may give: the content of files, and that the root is opaque. */
  #checkOrder(raw: RawInode, i: number): void {
    const role = this.#orders.roleOf(i)
    if ((role === 'metacopy' || role === 'redirect') && (raw.mode & S_IFMT) === S_IFREG) return
    if (role === 'opaque' && raw.nid === this.#image.rootNid && isText(this.#valueOf(i), 'y')) return
    throw bad(
      `inode ${raw.nid} has the xattr ${JSON.stringify(this.#nameOf(i))}, an order to overlayfs that no composefs image holds`,
    )
  }

  /** Attributes under the names that a user sees: overlayfs takes the same prefix off. */
  #unescaped(own: readonly number[]): Xattrs {
    return new Map(own.map((i) => [unescapedName(this.#nameOf(i)), this.#valueOf(i)]))
  }

  #nameOf(i: number): string {
    return (this.#orders.xattrs.names[i] as XattrName).text
  }

  #valueOf(i: number): Uint8Array {
    const { valueAt, valueEnd } = this.#orders.xattrs
    return this.#image.bytes.subarray(valueAt[i], valueEnd[i])
  }

  #content(raw: RawInode): Content {
    if (!this.#isComposefs) return this.#plainContent(raw)
    const { metacopy, redirect } = this.#orders
    if (metacopy !== undefined) return this.#external(raw)
    if (redirect !== undefined) throw bad(`inode ${raw.nid} has a redirect but no metacopy`)
    if (raw.size === 0) return noContent
    if (raw.layout === chunkBased) throw bad(`inode ${raw.nid} has neither content nor a metacopy`)
    if (raw.size > inlineContentMax) throw bad(`inode ${raw.nid} has ${raw.size} bytes of content in the image`)
    return this.#inline(raw)
  }

  #external(raw: RawInode): Content {
    const { size } = raw
    if (size === 0 || raw.layout !== chunkBased)
      throw bad(`inode ${raw.nid} has a metacopy but is no file without content`)
    const path = this.#path(raw)
    const digest = this.#digest(raw)
    if (digest === undefined) return path === '' ? { kind: 'unknown', size } : { kind: 'unknown', size, path }
    if (path === `${digest.slice(0, 2)}/${digest.slice(2)}`) return { kind: 'object', digest, size }
    if (this.#options.foreignPaths !== true)
      throw bad(`inode ${raw.nid} has the digest ${digest} but its bytes at ${JSON.stringify(path.slice(0, 300))}`)
    return { kind: 'object', digest, size, path }
  }

  /** The path below the object directory; '' for a file without a redirect. */
  #path({ nid }: RawInode): string {
    const { redirect } = this.#orders
    return redirect === undefined ? '' : relative(nid, pathFromBytes(this.#image.bytes.subarray(...redirect)))
  }

  /** The digest of a file's bytes; undefined when it is not known. All digests of an image are of the same kind. */
  #digest({ nid }: RawInode): VerityDigest | undefined {
    const { metacopy = [0, 0] } = this.#orders
    const value = this.#image.bytes.subarray(...metacopy)
    if (value.length === 0) return undefined
    const digest = readMetacopyValue(value)
    if (digest === undefined) throw unsupported(`inode ${nid} has a metacopy of another kind than sha256 and sha512`)
    if ((this.#digestLength ??= digest.length) !== digest.length)
      throw bad(`inode ${nid} has a digest of another kind than those before it`)
    return digest
  }

  #plainContent(raw: RawInode): Content {
    const { size } = raw
    if (size === 0) return noContent
    if (size <= inlineMax) return this.#inline(raw)
    return this.#options.content?.(size, this.#image.data(raw)) ?? { kind: 'unknown', size }
  }

  #inline(raw: RawInode): Content {
    return { kind: 'inline', bytes: new Uint8Array(Buffer.concat([...this.#image.data(raw)])) }
  }
}

const stubName = /^[0-9a-f]{2}$/

/** A device 0:0 with the permissions of the file that stood for it. */
export function asWhiteout<T extends InodeInfo>(info: T): T {
  return { ...info, mode: (info.mode & ~S_IFMT) | S_IFCHR, xattrs: without(info.xattrs, whiteoutNames) }
}

/** The path that a redirect means below the object directory. */
function relative(nid: number, redirect: string): string {
  const path = redirect.slice(1)
  if (
    !redirect.startsWith('/') ||
    path.split('/').some((name) => name === '' || name === '.' || name === '..') ||
    path.includes('\0')
  )
    throw bad(
      `inode ${nid} has the redirect ${JSON.stringify(redirect.slice(0, 300))}; expected an absolute path without detours`,
    )
  return path
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
