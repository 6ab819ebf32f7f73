/**
 * The second pass of the writer: which xattrs every inode has, and which of them are shared.
 *
 * An attribute (name and value) that two inodes have is stored once, in the shared table; each of them holds a reference.
 * Most inodes of an image are files with nothing but a metacopy and a redirect of their own, so these two are never
 * materialised per file: a set of attributes holds a marker, and the file's content says what the marker stands for.
 */
import type { Content, Xattrs } from '../entry.ts'
import { sharedRefsMax, xattrBody } from '../erofs/erofs-records.ts'
import { type FlatTree, field, inodeWords } from '../flat/flat-tree.ts'
import { contentAt } from '../flat/flatten.ts'
import { compareNames } from '../tree.ts'
import { metacopyValue, redirectValue } from './external-content.ts'
import { isAtOwnPath, isExternal, metacopyEntryBytes, placeLength, redirectEntryBytes } from './flat-external.ts'
import { type ImageXattr, metacopyMarker, newXattr, redirectMarker } from './image-xattr.ts'
import { Occurrences } from './occurrences.ts'
import {
  escapeXattrs,
  metacopyName,
  opaqueName,
  opaqueWhiteoutsNames,
  redirectName,
  whiteoutNames,
  whiteoutsNames,
} from './overlay-xattrs.ts'
import type { Listing } from './tree-listing.ts'

const empty = new Uint8Array(0)

/** The attributes that some inodes have in common, in ascending order of full name, markers included. */
export interface AttributeSet {
  readonly attributes: readonly ImageXattr[]
  readonly markers: 0 | 1 | 2
  readonly filter: number
  /** How many of the attributes that are no markers are shared, and the bytes of the others. */
  shared: number
  local: number
}

export class XattrTable {
  /** Which of the sets each inode has. */
  readonly setOf: Uint32Array
  readonly sets: AttributeSet[] = []
  /** The shared attributes in table order, `bytes` of them. */
  readonly shared: readonly ImageXattr[]
  readonly bytes: number
  readonly hasAcl: boolean
  readonly #tree: FlatTree
  readonly #ids: Uint32Array
  readonly #metacopies: Occurrences
  readonly #redirects: Occurrences

  constructor(listing: Listing, version: 0 | 1) {
    const { tree, ids } = listing
    this.#tree = tree
    this.#ids = ids
    this.setOf = new Uint32Array(ids.length)
    const interner = new XattrInterner()
    const plain = this.#chooseSets(listing, version, interner)
    this.#countUses()
    this.#metacopies = Occurrences.ofDigests(tree, ids)
    // Where every redirect follows from the digest, it is repeated just where the digest is.
    this.#redirects = plain ? this.#metacopies.copy() : Occurrences.ofPlaces(tree, ids)
    const contentOf = (number: number): Content => contentAt(tree, ids[number] as number)
    this.shared = [
      ...interner.shared(),
      ...this.#metacopies.share((first) => newXattr(metacopyName, metacopyValue(contentOf(first)))),
      ...this.#redirects.share((first) => newXattr(redirectName, redirectValue(contentOf(first)))),
    ].sort(tableOrder)
    let bytes = 0
    for (const attribute of this.shared) {
      attribute.offset = bytes
      bytes += attribute.encoded.length
    }
    this.bytes = bytes
    this.hasAcl = interner.hasAcl()
    for (const set of this.sets) measure(set)
  }

  /** Gives each inode its set; returns whether all content lies at its digest's own path. */
  #chooseSets(listing: Listing, version: 0 | 1, interner: XattrInterner): boolean {
    const { tree, ids, whiteouts, whiteoutParents } = listing
    /** The set's index and one, by the tree's own sets of attributes and what the content adds. */
    const known = new Uint32Array(tree.xattrSets.length * 3)
    const marks = whiteouts.size > 0
    let plain = true
    for (let number = 0; number < ids.length; number++) {
      const inode = ids[number] as number
      const markers = markersOf(tree, inode)
      if (markers > 0 && !isAtOwnPath(tree, inode)) plain = false
      if (number === 0 || (marks && (whiteouts.has(number) || whiteoutParents.has(number)))) {
        const marked = rewritten(tree.xattrs(inode), number, listing, version)
        this.setOf[number] = this.sets.push(interner.intern(marked, markers)) - 1
        continue
      }
      const key = (tree.words[inode * inodeWords + field.xattrs] as number) * 3 + markers
      if (known[key] === 0) known[key] = this.sets.push(interner.intern(escapeXattrs(tree.xattrs(inode)), markers))
      this.setOf[number] = (known[key] as number) - 1
    }
    return plain
  }

  #countUses(): void {
    const counts = new Uint32Array(this.sets.length)
    for (const set of this.setOf) counts[set] = (counts[set] as number) + 1
    for (const [i, { attributes }] of this.sets.entries())
      for (const attribute of attributes) attribute.uses += counts[i] as number
  }

  of(number: number): AttributeSet {
    return this.sets[this.setOf[number] as number] as AttributeSet
  }

  /** The shared attribute behind one of the inode's attributes, or undefined: it is stored with the inode. */
  sharedOf(number: number, attribute: ImageXattr): ImageXattr | undefined {
    if (attribute === metacopyMarker) return this.#metacopies.shared(number)
    if (attribute === redirectMarker) return this.#redirects.shared(number)
    return attribute.offset < 0 ? undefined : attribute
  }

  /** The bytes of the inode's xattr area, 0 when it has no attributes. */
  areaBytes(number: number): number {
    const set = this.of(number)
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

  /** The bytes of an area in which only the first 128 shared attributes become references, and the rest are stored with the inode. */
  #crowdedBytes(number: number, set: AttributeSet): number {
    let refs = 0
    let local = 0
    for (const attribute of set.attributes)
      if (refs < sharedRefsMax && this.sharedOf(number, attribute) !== undefined) refs++
      else local += this.#localBytes(number, attribute)
    return xattrBody.bytes + 4 * refs + local
  }

  /** The size of an attribute as an entry of its own. */
  #localBytes(number: number, attribute: ImageXattr): number {
    if (attribute === metacopyMarker) return metacopyEntryBytes(this.#tree, this.#ids[number] as number)
    if (attribute === redirectMarker) return redirectEntryBytes(this.#tree, this.#ids[number] as number)
    return attribute.encoded.length
  }
}

const optionX = Buffer.from('x')
const optionY = Buffer.from('y')

/** The user's attributes, and those that tell overlayfs of the root, of whiteouts and of their directories. */
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

/** Makes one object of each attribute. */
class XattrInterner {
  readonly #xattrs = new Map<string, ImageXattr>()

  intern(escaped: Xattrs, markers: 0 | 1 | 2): AttributeSet {
    const attributes = Array.from(escaped, ([name, value]) => this.#intern(name, value))
    if (markers >= 1) attributes.push(metacopyMarker)
    if (markers >= 2) attributes.push(redirectMarker)
    attributes.sort((a, b) => compareNames(a.name, b.name))
    let filter = 0xffffffff
    for (const attribute of attributes) filter &= ~attribute.filterBit
    return { attributes, markers, filter: filter >>> 0, shared: 0, local: 0 }
  }

  shared(): ImageXattr[] {
    return [...this.#xattrs.values()].filter(({ uses }) => uses >= 2)
  }

  hasAcl(): boolean {
    for (const { name } of this.#xattrs.values())
      if (name === 'system.posix_acl_access' || name === 'system.posix_acl_default') return true
    return false
  }

  #intern(name: string, value: Uint8Array): ImageXattr {
    const key = `${name}\0${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`
    let found = this.#xattrs.get(key)
    if (found === undefined) this.#xattrs.set(key, (found = newXattr(name, value)))
    return found
  }
}

/** How many markers the inode's content brings: 0, a metacopy, or a metacopy and a redirect. */
function markersOf(tree: FlatTree, inode: number): 0 | 1 | 2 {
  return !isExternal(tree, inode) ? 0 : placeLength(tree, inode) === 0 ? 1 : 2
}

function measure(set: AttributeSet): void {
  for (const attribute of set.attributes)
    if (attribute === metacopyMarker || attribute === redirectMarker) continue
    else if (attribute.offset >= 0) set.shared++
    else set.local += attribute.encoded.length
}

/** Compares by name, then length of value, then value, all of them descending. */
function tableOrder(a: ImageXattr, b: ImageXattr): number {
  return compareNames(b.name, a.name) || b.value.length - a.value.length || Buffer.compare(b.value, a.value)
}
