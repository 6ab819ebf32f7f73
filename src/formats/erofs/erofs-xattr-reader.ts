/**
 * Reads the extended attributes of inodes in place: where they lie in the image, under which names.
 *
 *     area      12 bytes: name filter, number of references; references, 4 bytes each; the inode's own entries
 *     entry     lengths, prefix and rest of the name, value; a reference leads to one in the table that all inodes share
 *
 * Hostile like all of the image: what an area claims is measured against the area, what a reference leads to against the image.
 */
import { bad, unsupported } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { align, xattrBody, xattrEntry } from './erofs-records.ts'
import type { ErofsVolume } from './erofs-volume.ts'
import { filterBit, prefixOf } from './xattr-names.ts'

/** A name of attributes; in an image there is one object for each. */
export interface XattrName {
  /** Counts the names of the image in the order in which they are met. */
  readonly id: number
  /** The name with its prefix. */
  readonly text: string
  /** The bit of name filters that is set where no such attribute is. */
  readonly filterBit: number
}

/** The attributes of one inode, in the order they are stored: references first. Good until it is filled again. */
export class XattrSpans {
  count = 0
  readonly names: XattrName[] = []
  /** Offsets between which the value lies in the image. */
  readonly valueAt: number[] = []
  readonly valueEnd: number[] = []
  /** Offset of the entry in the shared table; -1 for the inode's own. */
  readonly sharedAt: number[] = []

  add(name: XattrName, valueAt: number, valueEnd: number, sharedAt: number): void {
    const i = this.count++
    this.names[i] = name
    this.valueAt[i] = valueAt
    this.valueEnd[i] = valueEnd
    this.sharedAt[i] = sharedAt
  }
}

interface SharedXattr {
  readonly name: XattrName
  readonly valueAt: number
  readonly valueEnd: number
}

/** The most that one inode's xattrs may add up to, shared ones included: what its own area could hold. */
const totalMax = 4 * 0xffff
const recentCount = 64

export class XattrReader {
  readonly #bytes: Buffer
  readonly #tableAt: number
  readonly #hasFilter: boolean
  readonly #shared = new Map<number, SharedXattr>()
  readonly #names = new Map<string, XattrName>()
  /** Names met lately, and the entries they were met in: one that is equal is not made a string again. */
  readonly #recent: (XattrName | undefined)[] = Array.from({ length: recentCount }, () => undefined)
  readonly #recentAt = new Uint32Array(recentCount)
  #sharedBytes = 0

  constructor({ bytes, sharedXattrsAt, hasXattrFilter }: ErofsVolume) {
    this.#bytes = bytes.buffer
    this.#tableAt = sharedXattrsAt
    this.#hasFilter = hasXattrFilter
  }

  /** Finds the attributes of an inode, whose area lies in the image. Names occur once. */
  read({ nid, xattrsAt: at, xattrBytes: length }: RawInode, spans: XattrSpans): void {
    spans.count = 0
    if (length === 0) return
    const end = at + length
    const sharedCount = this.#bytes[at + xattrBody.sharedCount] as number
    const ownAt = at + xattrBody.bytes + 4 * sharedCount
    if (ownAt > end) throw bad(`inode ${nid} refers to ${sharedCount} shared xattrs, more than it has room for`)
    for (let i = at + xattrBody.bytes; i < ownAt; i += 4) this.#addShared(this.#tableAt + 4 * this.#u32(i), nid, spans)
    for (let i = ownAt; i < end; i = align(i + this.#entryBytes(i), 4)) {
      const name = this.#name(i, end, nid)
      const valueEnd = i + this.#entryBytes(i)
      spans.add(name, valueEnd - this.#u16(i + xattrEntry.valueLength), valueEnd, -1)
    }
    this.#check(nid, spans, this.#u32(at + xattrBody.nameFilter))
  }

  #addShared(at: number, nid: number, spans: XattrSpans): void {
    let xattr = this.#shared.get(at)
    if (xattr === undefined) {
      const name = this.#name(at, this.#bytes.length, nid)
      const valueEnd = at + this.#entryBytes(at)
      this.#shared.set(at, (xattr = { name, valueAt: valueEnd - this.#u16(at + xattrEntry.valueLength), valueEnd }))
      // References that point into one another's entries would make more attributes than the image has room for.
      this.#sharedBytes += valueEnd - at
      if (this.#sharedBytes > this.#bytes.length) throw bad('its shared xattrs overlap')
    }
    spans.add(xattr.name, xattr.valueAt, xattr.valueEnd, at)
  }

  /** The name of an entry, all of which is checked. */
  #name(at: number, end: number, nid: number): XattrName {
    if (at + xattrEntry.bytes > end || at + this.#entryBytes(at) > end)
      throw bad(`an xattr of inode ${nid} ends outside of its place`)
    const bytes = this.#bytes
    const length = bytes[at + xattrEntry.nameLength] as number
    const slot = (length * 31 + (bytes[at + xattrEntry.bytes + length - 1] as number)) % recentCount
    const recent = this.#recent[slot]
    if (recent !== undefined && this.#isSameName(this.#recentAt[slot] as number, at)) return recent
    const name = this.#internName(at, length, nid)
    this.#recent[slot] = name
    this.#recentAt[slot] = at
    return name
  }

  #isSameName(a: number, b: number): boolean {
    const bytes = this.#bytes
    const length = bytes[b + xattrEntry.nameLength] as number
    if (bytes[a + xattrEntry.nameLength] !== length) return false
    if (bytes[a + xattrEntry.nameIndex] !== bytes[b + xattrEntry.nameIndex]) return false
    for (let i = xattrEntry.bytes; i < xattrEntry.bytes + length; i++) if (bytes[a + i] !== bytes[b + i]) return false
    return true
  }

  #internName(at: number, length: number, nid: number): XattrName {
    const nameAt = at + xattrEntry.bytes
    const index = this.#bytes[at + xattrEntry.nameIndex] as number
    const prefix = prefixOf(index)
    if (prefix === undefined) throw unsupported(`an xattr of inode ${nid} has the name prefix ${index}`)
    const suffix = this.#bytes.toString('latin1', nameAt, nameAt + length)
    const text = prefix + suffix
    if (text === '' || text.includes('\0')) throw bad(`an xattr of inode ${nid} has a name that cannot be one`)
    let name = this.#names.get(text)
    if (name === undefined)
      this.#names.set(text, (name = { id: this.#names.size, text, filterBit: filterBit({ index, suffix }) }))
    return name
  }

  /** Refuses a filter that denies a name: that hides it from the kernel's getxattr but not from us, so the image shows two faces. */
  #check(nid: number, { names, valueAt, valueEnd, count }: XattrSpans, filter: number): void {
    let total = 0
    const known = count > 8 ? new Set<XattrName>() : undefined
    for (let i = 0; i < count; i++) {
      const name = names[i] as XattrName
      total += name.text.length + (valueEnd[i] as number) - (valueAt[i] as number)
      if (known === undefined ? names.indexOf(name) < i : known.has(name))
        throw bad(`inode ${nid} has two xattrs ${JSON.stringify(name.text)}`)
      known?.add(name)
      if (this.#hasFilter && (filter & name.filterBit) !== 0)
        throw bad(`the name filter of inode ${nid} denies its xattr ${JSON.stringify(name.text)}`)
    }
    if (total > totalMax) throw bad(`inode ${nid} has ${total} bytes of xattrs`)
  }

  #entryBytes(at: number): number {
    const name = this.#bytes[at + xattrEntry.nameLength] as number
    return xattrEntry.bytes + name + this.#u16(at + xattrEntry.valueLength)
  }

  #u16(at: number): number {
    return (this.#bytes[at] as number) | ((this.#bytes[at + 1] as number) << 8)
  }

  #u32(at: number): number {
    return (this.#u16(at) | (this.#u16(at + 2) << 16)) >>> 0
  }
}
