/**
 * The second pass of the writer: which xattrs every inode has, and which of them are shared.
 *
 * An attribute (name and value) that two inodes have is stored once, in the shared table; each of them holds a reference.
 * Most inodes of an image are files with nothing but a metacopy and a redirect of their own, so these two are never
 * materialised per file: a set of attributes holds a marker, and the file's content says what the marker stands for.
 */
import { type Inode, compareNames } from '../tree.ts'
import type { Content, Xattrs } from '../entry.ts'
import {
  externalContent,
  metacopyEntryBytes,
  metacopyValue,
  placeLength,
  placeOf,
  redirectEntryBytes,
  redirectValue,
} from './external.ts'
import type { Listing } from './listing.ts'
import { sharedRefsMax, xattrBody } from './records.ts'
import {
  encodeXattr,
  escapeXattrs,
  filterBit,
  metacopyName,
  opaqueName,
  opaqueWhiteoutsNames,
  redirectName,
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
  readonly markers: 0 | 1 | 2
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
  readonly #inodes: readonly Inode[]
  readonly #metacopies: Occurrences
  readonly #redirects: Occurrences

  constructor(listing: Listing, version: 0 | 1) {
    const { inodes, whiteouts, whiteoutParents } = listing
    this.#inodes = inodes
    const attributes = new Attributes()
    let plain = true
    for (let number = 0; number < inodes.length; number++) {
      const inode = inodes[number] as Inode
      const content = externalContent(inode)
      if (content !== undefined && (content.kind !== 'object' || content.path !== undefined)) plain = false
      const special = number === 0 || whiteouts.has(number) || whiteoutParents.has(number)
      const set = special
        ? attributes.intern(rewritten(inode.xattrs, number, listing, version), content)
        : attributes.set(inode.xattrs, content)
      for (const attribute of set.attributes) attribute.uses++
      this.sets.push(set)
    }
    this.#metacopies = new Occurrences(inodes, metacopyKey)
    // Where every redirect follows from the digest, it is repeated just where the digest is.
    this.#redirects = new Occurrences(plain ? this.#metacopies : inodes, redirectKey)
    const contentOf = (number: number): Content => (inodes[number] as Inode).content
    this.shared = [
      ...attributes.shared(),
      ...this.#metacopies.share((first) => newAttribute(metacopyName, metacopyValue(contentOf(first)))),
      ...this.#redirects.share((first) => newAttribute(redirectName, redirectValue(contentOf(first)))),
    ].sort(tableOrder)
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
    if (attribute === metacopyMarker) return this.#metacopies.shared(number)
    if (attribute === redirectMarker) return this.#redirects.shared(number)
    return attribute.offset < 0 ? undefined : attribute
  }

  /** The bytes of the inode's xattr area, 0 when it has no attributes. */
  areaBytes(number: number): number {
    const set = this.sets[number] as AttributeSet
    if (set.attributes.length === 0) return 0
    let refs = set.shared
    let local = set.local
    if (set.markers >= 1)
      if (this.#metacopies.shared(number) !== undefined) refs++
      else local += this.#localBytes(number, metacopyMarker)
    if (set.markers >= 2)
      if (this.#redirects.shared(number) !== undefined) refs++
      else local += this.#localBytes(number, redirectMarker)
    return refs <= sharedRefsMax ? xattrBody.bytes + 4 * refs + local : this.#crowdedBytes(number, set)
  }

  /** Only the first 128 shared attributes become references; the rest are stored with the inode after all. */
  #crowdedBytes(number: number, set: AttributeSet): number {
    let refs = 0
    let local = 0
    for (const attribute of set.attributes)
      if (refs < sharedRefsMax && this.sharedOf(number, attribute) !== undefined) refs++
      else local += this.#localBytes(number, attribute)
    return xattrBody.bytes + 4 * refs + local
  }

  /** The size of an attribute as an entry of its own. */
  #localBytes(number: number, attribute: Attribute): number {
    if (attribute === metacopyMarker) return metacopyEntryBytes((this.#inodes[number] as Inode).content)
    if (attribute === redirectMarker) return redirectEntryBytes((this.#inodes[number] as Inode).content)
    return attribute.encoded.length
  }
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
    return { attributes, markers, filter: filter >>> 0, shared: 0, local: 0 }
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
 * Which of the attributes that stand behind a marker occur twice. They are known by a key per inode, and by the first inode
 * that has the key.
 */
class Occurrences {
  /** Per inode; -1 for none. */
  readonly #first: Int32Array
  /** Per inode that is the first of several: which of the shared attributes it has; else -1. */
  readonly #slots: Int32Array
  readonly #repeated: Set<number>
  readonly #shared: Attribute[] = []

  /** Or with the keys of another attribute, when they are repeated alike. */
  constructor(inodes: readonly Inode[] | Occurrences, keyOf: (content: Content) => string | undefined) {
    if (inodes instanceof Occurrences) {
      this.#first = inodes.#first
      this.#slots = inodes.#slots
      this.#repeated = inodes.#repeated
      return
    }
    this.#first = new Int32Array(inodes.length).fill(-1)
    this.#slots = new Int32Array(inodes.length).fill(-1)
    this.#repeated = new Set()
    const numbers = new Map<string, number>()
    for (let number = 0; number < inodes.length; number++) {
      const content = externalContent(inodes[number] as Inode)
      const key = content === undefined ? undefined : keyOf(content)
      if (key === undefined) continue
      const first = numbers.getOrInsert(key, number)
      this.#first[number] = first
      if (first !== number) this.#repeated.add(first)
    }
  }

  /** Makes a shared attribute of each one that occurs twice. */
  share(make: (first: number) => Attribute): readonly Attribute[] {
    for (const first of this.#repeated) {
      this.#slots[first] = this.#shared.length
      this.#shared.push(make(first))
    }
    return this.#shared
  }

  shared(number: number): Attribute | undefined {
    const first = this.#first[number] as number
    return first < 0 ? undefined : this.#shared[this.#slots[first] as number]
  }
}

function metacopyKey(content: Content): string {
  return content.kind === 'object' ? content.digest : ''
}

/** A digest's own path has the digest for a key, any other path itself behind a slash. */
function redirectKey(content: Content): string | undefined {
  if (content.kind === 'object' && content.path === undefined) return content.digest
  const place = placeOf(content)
  if (place === '') return undefined
  return ownPath.test(place) ? place.replace('/', '') : `/${place}`
}

const ownPath = /^[0-9a-f]{2}\/[0-9a-f]{62}$/

/** Name, then length of value, then value, all of them descending. */
function tableOrder(a: Attribute, b: Attribute): number {
  return compareNames(b.name, a.name) || b.value.length - a.value.length || Buffer.compare(b.value, a.value)
}
