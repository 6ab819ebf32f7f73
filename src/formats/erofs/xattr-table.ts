/**
 * The second pass of the writer: which xattrs every inode has, and which of them are shared.
 *
 * An attribute (name and value) that two inodes have is stored once, in the shared table; each of them holds a reference.
 * Most inodes of an image are files with nothing but a metacopy and a redirect of their own, so these two are never
 * materialised per file: a set of attributes holds a marker, and the file's content says what the marker stands for.
 */
import { type Inode, S_IFMT, S_IFREG, compareNames } from '../../image/tree.ts'
import { type Content, type Xattrs, sizeOf } from '../entry.ts'
import type { Listing } from './listing.ts'
import { align, sharedRefsMax, xattrBody, xattrEntry } from './records.ts'
import {
  encodeXattr,
  escapeXattrs,
  filterBit,
  metacopyBytes,
  metacopyHead,
  metacopyName,
  opaqueName,
  opaqueWhiteoutsNames,
  redirectName,
  splitName,
  whiteoutNames,
  whiteoutsNames,
} from './xattrs.ts'

export interface Attribute {
  readonly name: string
  readonly value: Uint8Array
  readonly encoded: Uint8Array
  readonly filterBit: number
  /** How many inodes have it. */
  uses: number
  /** Where it lies in the shared table, or -1. */
  offset: number
}

const empty = new Uint8Array(0)

/** Stand for the attributes that a file's content gives it. */
export const metacopyMarker = newAttribute(metacopyName, empty)
export const redirectMarker = newAttribute(redirectName, empty)

/** What some inodes have in common: their attributes in ascending order of full name, markers included. */
export interface AttributeSet {
  readonly attributes: readonly Attribute[]
  readonly filter: number
  /** Of the attributes that are no markers: how many are shared, and the bytes of the others. */
  shared: number
  local: number
}

export class XattrTable {
  /** The attributes of each inode. */
  readonly sets: AttributeSet[] = []
  /** The shared attributes in table order, `bytes` of them. */
  readonly shared: readonly Attribute[]
  readonly bytes: number
  readonly hasAcl: boolean
  readonly #contents = new Contents()
  readonly #inodes: readonly Inode[]

  constructor(listing: Listing, version: 0 | 1) {
    this.#inodes = listing.inodes
    const attributes = new Attributes()
    for (const [number, inode] of listing.inodes.entries()) {
      const content = externalContent(inode)
      const special = number === 0 || listing.whiteouts.has(number) || listing.whiteoutParents.has(number)
      const set = special
        ? attributes.intern(rewritten(inode.xattrs, number, listing, version), content)
        : attributes.set(inode.xattrs, content)
      for (const attribute of set.attributes) attribute.uses++
      this.sets.push(set)
      this.#contents.add(content)
    }
    this.shared = [...attributes.shared(), ...this.#contents.share()].sort(tableOrder)
    let bytes = 0
    for (const attribute of this.shared) {
      attribute.offset = bytes
      bytes += attribute.encoded.length
    }
    this.bytes = bytes
    this.hasAcl = attributes.hasAcl()
    for (const set of new Set(this.sets)) measure(set)
  }

  /** The shared attribute behind one of the inode's attributes, or undefined: it is stored with the inode. */
  sharedOf(number: number, attribute: Attribute): Attribute | undefined {
    if (attribute === metacopyMarker) return this.#contents.sharedMetacopy(number)
    if (attribute === redirectMarker) return this.#contents.sharedRedirect(number)
    return attribute.offset < 0 ? undefined : attribute
  }

  /** The bytes of the inode's xattr area, 0 when it has no attributes. */
  areaBytes(number: number): number {
    const set = this.sets[number] as AttributeSet
    if (set.attributes.length === 0) return 0
    let refs = set.shared
    let local = set.local
    for (const attribute of set.attributes)
      if (attribute === metacopyMarker || attribute === redirectMarker)
        if (this.sharedOf(number, attribute) === undefined) local += this.localBytes(number, attribute)
        else refs++
    return refs <= sharedRefsMax ? xattrBody.bytes + 4 * refs + local : this.#crowdedBytes(number, set)
  }

  /** Only the first 128 shared attributes become references; the rest are stored with the inode after all. */
  #crowdedBytes(number: number, set: AttributeSet): number {
    let refs = 0
    let local = 0
    for (const attribute of set.attributes)
      if (refs < sharedRefsMax && this.sharedOf(number, attribute) !== undefined) refs++
      else local += this.localBytes(number, attribute)
    return xattrBody.bytes + 4 * refs + local
  }

  /** The size of an attribute as an entry of its own. */
  localBytes(number: number, attribute: Attribute): number {
    if (attribute !== metacopyMarker && attribute !== redirectMarker) return attribute.encoded.length
    const content = (this.#inodes[number] as Inode).content
    if (attribute === metacopyMarker) return metacopyEntryBytes + (content.kind === 'object' ? metacopyBytes : 0)
    return align(redirectEntryBytes + placeLength(content), 4)
  }
}

const metacopyEntryBytes = xattrEntry.bytes + splitName(metacopyName).suffix.length
/** With the slash that precedes the place. */
const redirectEntryBytes = xattrEntry.bytes + splitName(redirectName).suffix.length + 1

/** The content that a file has outside of the image, if it has. */
export function externalContent(inode: Inode): Content | undefined {
  const { content } = inode
  if (content.kind === 'empty' || content.kind === 'inline' || (inode.mode & S_IFMT) !== S_IFREG) return undefined
  return sizeOf(content) > 0 ? content : undefined
}

/** Where the bytes lie below the object directory; '' is nowhere. */
export function placeOf(content: Content): string {
  if (content.kind !== 'object') return content.kind === 'unknown' ? (content.path ?? '') : ''
  return content.path ?? `${content.digest.slice(0, 2)}/${content.digest.slice(2)}`
}

/** `placeOf(content).length`, without making the string. */
function placeLength(content: Content): number {
  if (content.kind === 'object' && content.path === undefined) return content.digest.length + 1
  return placeOf(content).length
}

/** The attributes that a marker stands for. */
export function metacopyOf(content: Content): Attribute {
  const value =
    content.kind === 'object' ? Buffer.from([...metacopyHead, ...Buffer.from(content.digest, 'hex')]) : empty
  return newAttribute(metacopyName, value)
}

export function redirectOf(content: Content): Attribute {
  return newAttribute(redirectName, Buffer.from(`/${placeOf(content)}`, 'latin1'))
}

const optionX = Buffer.from('x')
const optionY = Buffer.from('y')

/** The user's attributes, and what overlayfs is to be told of the root, of whiteouts and of their directories. */
function rewritten(xattrs: Xattrs, number: number, listing: Listing, version: 0 | 1): Xattrs {
  const all = escapeXattrs(xattrs)
  if (listing.whiteouts.has(number)) for (const name of whiteoutNames) all.set(name, empty)
  if (listing.whiteoutParents.has(number)) {
    for (const name of whiteoutsNames) all.set(name, empty)
    if (version >= 1) for (const name of opaqueWhiteoutsNames) all.set(name, optionX)
  }
  if (number === 0) all.set(opaqueName, optionY)
  return all
}

/** Attributes and sets of attributes, each once. */
class Attributes {
  readonly #attributes = new Map<string, Attribute>()
  /** By the identity of the map in the tree, and by what the content adds. */
  readonly #sets = new Map<Xattrs, (AttributeSet | undefined)[]>()

  set(xattrs: Xattrs, content: Content | undefined): AttributeSet {
    let sets = this.#sets.get(xattrs)
    if (sets === undefined) this.#sets.set(xattrs, (sets = []))
    return (sets[markersOf(content)] ??= this.intern(escapeXattrs(xattrs), content))
  }

  intern(escaped: Xattrs, content: Content | undefined): AttributeSet {
    const attributes = Array.from(escaped, ([name, value]) => this.#attribute(name, value))
    const markers = markersOf(content)
    if (markers >= 1) attributes.push(metacopyMarker)
    if (markers >= 2) attributes.push(redirectMarker)
    attributes.sort((a, b) => compareNames(a.name, b.name))
    let filter = 0xffffffff
    for (const attribute of attributes) filter &= ~attribute.filterBit
    return { attributes, filter: filter >>> 0, shared: 0, local: 0 }
  }

  shared(): Attribute[] {
    return [...this.#attributes.values()].filter(({ uses }) => uses >= 2)
  }

  hasAcl(): boolean {
    for (const { name } of this.#attributes.values())
      if (name === 'system.posix_acl_access' || name === 'system.posix_acl_default') return true
    return false
  }

  #attribute(name: string, value: Uint8Array): Attribute {
    const key = `${name}\0${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`
    let found = this.#attributes.get(key)
    if (found === undefined) this.#attributes.set(key, (found = newAttribute(name, value)))
    return found
  }
}

function newAttribute(name: string, value: Uint8Array): Attribute {
  return { name, value, encoded: encodeXattr(name, value), filterBit: filterBit(name), uses: 0, offset: -1 }
}

/** How many markers a content brings: 0, a metacopy, or a metacopy and a redirect. */
function markersOf(content: Content | undefined): 0 | 1 | 2 {
  return content === undefined ? 0 : placeLength(content) === 0 ? 1 : 2
}

function measure(set: AttributeSet): void {
  for (const attribute of set.attributes)
    if (attribute === metacopyMarker || attribute === redirectMarker) continue
    else if (attribute.offset >= 0) set.shared++
    else set.local += attribute.encoded.length
}

/**
 * Which metacopies and redirects occur twice. Both have the digest's hex digits for a key in the usual case, where the
 * redirect leads to the digest's own path; any other path is its own key, with a slash before it.
 */
class Contents {
  readonly #ids = new Map<string, number>()
  readonly #metacopies: Sharing = { ids: [], samples: [], uses: [], shared: new Map() }
  readonly #redirects: Sharing = { ids: [], samples: [], uses: [], shared: new Map() }

  /** In the order of inode numbers. */
  add(content: Content | undefined): void {
    if (content?.kind === 'object' && content.path === undefined) {
      const id = this.#id(content.digest)
      count(this.#metacopies, id, content)
      count(this.#redirects, id, content)
      return
    }
    if (content === undefined) {
      this.#metacopies.ids.push(-1)
      this.#redirects.ids.push(-1)
      return
    }
    count(this.#metacopies, this.#id(content.kind === 'object' ? content.digest : ''), content)
    const place = placeOf(content)
    if (place === '') this.#redirects.ids.push(-1)
    else count(this.#redirects, this.#id(ownPath.test(place) ? place.replace('/', '') : `/${place}`), content)
  }

  /** Makes an attribute of each one that two inodes have. */
  share(): Attribute[] {
    return [...share(this.#metacopies, metacopyOf), ...share(this.#redirects, redirectOf)]
  }

  sharedMetacopy(number: number): Attribute | undefined {
    return this.#metacopies.shared.get(this.#metacopies.ids[number] as number)
  }

  sharedRedirect(number: number): Attribute | undefined {
    return this.#redirects.shared.get(this.#redirects.ids[number] as number)
  }

  #id(key: string): number {
    const next = this.#ids.size
    const id = this.#ids.get(key) ?? next
    if (id === next) this.#ids.set(key, id)
    return id
  }
}

const ownPath = /^[0-9a-f]{2}\/[0-9a-f]{62}$/

interface Sharing {
  /** Per inode, or -1. */
  readonly ids: number[]
  /** Per id. */
  readonly samples: (Content | undefined)[]
  readonly uses: number[]
  readonly shared: Map<number, Attribute>
}

function count(sharing: Sharing, id: number, content: Content): void {
  sharing.ids.push(id)
  while (sharing.uses.length <= id) {
    sharing.uses.push(0)
    sharing.samples.push(undefined)
  }
  sharing.uses[id] = (sharing.uses[id] as number) + 1
  sharing.samples[id] ??= content
}

function share(sharing: Sharing, make: (content: Content) => Attribute): Attribute[] {
  for (const [id, uses] of sharing.uses.entries()) {
    const sample = sharing.samples[id]
    if (uses >= 2 && sample !== undefined) sharing.shared.set(id, make(sample))
  }
  return [...sharing.shared.values()]
}

/** Name, then length of value, then value, all of them descending. */
function tableOrder(a: Attribute, b: Attribute): number {
  return compareNames(b.name, a.name) || b.value.length - a.value.length || Buffer.compare(b.value, a.value)
}
