/**
 * Tree as columns, which readers and writers of whole images pass on, where an object for each of a hundred thousand
 * files and a string for each name would cost more than the work itself.
 *
 *     inode     96 bytes: numbers, sizes, times, a digest (see `field`), found by its id; 0 is the root
 *     name      16 bytes: directory, inode, place and length of its bytes; in any order (see `nameField`)
 *     heap      the bytes of names, symlink targets, inline contents and paths
 *
 * Exactly one name of an inode is its primary one; the others are further names of the same file.
 */
import type { Xattrs } from '../entry.ts'
import { noXattrs } from '../entry.ts'
import { OnefoldError } from '../../error.ts'

/** Positions in an inode's record: of 32-bit words, but for the last two. */
export const field = {
  mode: 0,
  uid: 1,
  gid: 2,
  rdev: 3,
  nlink: 4,
  mtimeNsec: 5,
  /** One of `kind`. */
  kind: 6,
  /** Index into `xattrSets`. */
  xattrs: 7,
  /** Offset of bytes in the heap: a symlink's target, inline content, or the path of content that lies elsewhere. */
  textAt: 8,
  textLength: 9,
  /** Eight words of digest. */
  digest: 16,
} as const
/** Positions of 64-bit floats in a record. */
export const floatField = { mtime: 5, size: 6 } as const
export const inodeWords = 24
export const inodeFloats = inodeWords / 2
export const inodeBytes = inodeWords * 4
export const digestAt = field.digest * 4

/** Kinds of a file's content, as in `Content`. */
export const kind = {
  empty: 0,
  inline: 1,
  /** Object at the digest's own path. */
  object: 2,
  /** Content with a digest, at the path in the heap; without bytes there, nowhere. */
  foreign: 3,
  /** Content without a digest, at the path in the heap. */
  unknown: 4,
} as const

export const nameField = {
  directory: 0,
  inode: 1,
  at: 2,
  /** Length of the name, with `furtherName` for one that is not the inode's primary one. */
  length: 3,
} as const
export const nameWords = 4
export const furtherName = 0x100
export const nameLengthMask = 0xff

/** Beginning of the heap: the names that every image has besides the tree's own. */
const specialNames = Buffer.from(
  `..${Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0')).join('')}`,
  'latin1',
)
/** Offset of `.` and `..`; the two digits of `i` are at `stubNameAt + 2 * i`. */
export const dotsAt = 0
export const stubNameAt = 2

export class FlatTree {
  inodes = 0
  names = 0
  heapEnd = specialNames.length
  /** Views of the inodes' records; another one after each `addInode`, as is `heap` after each `reserve`. */
  words: Uint32Array<ArrayBuffer>
  floats: Float64Array<ArrayBuffer>
  bytes: Buffer<ArrayBuffer>
  /** Records of names. */
  nameWords: Uint32Array<ArrayBuffer>
  heap: Buffer<ArrayBuffer>
  readonly xattrSets: Xattrs[] = [noXattrs]
  /**
   * True when digests are sha512, as in composefs-rs' images: all contents are `foreign`, the record has the first half
   * of the digest, and the path in the heap is made of all of it.
   */
  hasWideDigests = false

  constructor() {
    const records = new ArrayBuffer(1024 * inodeBytes)
    this.words = new Uint32Array(records)
    this.floats = new Float64Array(records)
    this.bytes = Buffer.from(records)
    this.nameWords = new Uint32Array(1024 * nameWords)
    this.heap = Buffer.from(new ArrayBuffer(1 << 16))
    this.heap.set(specialNames)
  }

  /** Adds an inode, all of whose fields are 0; returns its id. */
  addInode(): number {
    if ((this.inodes + 1) * inodeBytes > this.bytes.length) {
      const records = grown(this.bytes.buffer, this.bytes.length + inodeBytes)
      this.words = new Uint32Array(records)
      this.floats = new Float64Array(records)
      this.bytes = Buffer.from(records)
    }
    return this.inodes++
  }

  /** Adds a name, whose bytes are in the heap; returns its id. `length`: see `nameField`. */
  addName(directory: number, inode: number, at: number, length: number): number {
    const base = this.names * nameWords
    if (base + nameWords > this.nameWords.length)
      this.nameWords = new Uint32Array(grown(this.nameWords.buffer, (base + nameWords) * 4))
    const words = this.nameWords
    words[base + nameField.directory] = directory
    words[base + nameField.inode] = inode
    words[base + nameField.at] = at
    words[base + nameField.length] = length
    return this.names++
  }

  /** Makes room for so many bytes in the heap, and returns where they begin. */
  reserve(length: number): number {
    const at = this.heapEnd
    this.heapEnd += length
    if (this.heapEnd > this.heap.length) {
      if (this.heapEnd > 0xffffffff) throw new OnefoldError('LIMIT', 'Cannot hold tree: more than 4 GiB of names')
      this.heap = Buffer.from(grown(this.heap.buffer, this.heapEnd))
    }
    return at
  }

  /** Copies bytes into the heap, and returns where they begin. */
  addBytes(bytes: Uint8Array, start: number, end: number): number {
    const at = this.reserve(end - start)
    const heap = this.heap
    for (let from = start, to = at; from < end; from++, to++) heap[to] = bytes[from] as number
    return at
  }

  /** Copies a string with one char per byte into the heap, and returns where it begins. */
  addText(text: string): number {
    const at = this.reserve(text.length)
    this.heap.write(text, at, text.length, 'latin1')
    return at
  }

  setText(inode: number, text: string): void {
    const at = this.addText(text)
    this.words[inode * inodeWords + field.textAt] = at
    this.words[inode * inodeWords + field.textLength] = text.length
  }

  /** Returns the text at `textAt` and `textLength`, one char per byte. */
  text(inode: number): string {
    const at = this.words[inode * inodeWords + field.textAt] as number
    return this.heap.toString('latin1', at, at + (this.words[inode * inodeWords + field.textLength] as number))
  }

  mode(inode: number): number {
    return this.words[inode * inodeWords + field.mode] as number
  }

  size(inode: number): number {
    return this.floats[inode * inodeFloats + floatField.size] as number
  }

  digest(inode: number): string {
    if (this.hasWideDigests) return this.text(inode).replace('/', '')
    return this.bytes.toString('hex', inode * inodeBytes + digestAt, inode * inodeBytes + digestAt + 32)
  }

  xattrs(inode: number): Xattrs {
    return this.xattrSets[this.words[inode * inodeWords + field.xattrs] as number] as Xattrs
  }

  /** Returns a name, one char per byte. */
  name(id: number): string {
    const at = this.nameWords[id * nameWords + nameField.at] as number
    return this.heap.toString('latin1', at, at + this.nameLength(id))
  }

  nameLength(id: number): number {
    return (this.nameWords[id * nameWords + nameField.length] as number) & nameLengthMask
  }
}

/** Grows a buffer. The old one is given back at once: it does not wait for a garbage collection. */
function grown(buffer: ArrayBuffer, least: number): ArrayBuffer {
  const size = Math.max(
    least,
    buffer.byteLength < 1 << 26 ? buffer.byteLength * 2 : Math.ceil(buffer.byteLength * 1.25),
  )
  try {
    return buffer.transfer(Math.ceil(size / inodeBytes) * inodeBytes)
  } catch (cause) {
    throw new OnefoldError('LIMIT', `Cannot hold tree: it would take ${size} bytes of memory`, { cause })
  }
}

/** Compares two stretches of a heap as strcmp does. */
export function compareBytes(heap: Uint8Array, a: number, aLength: number, b: number, bLength: number): number {
  const length = Math.min(aLength, bLength)
  for (let i = 0; i < length; i++) {
    const difference = (heap[a + i] as number) - (heap[b + i] as number)
    if (difference !== 0) return difference
  }
  return aLength - bLength
}
