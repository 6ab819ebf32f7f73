/**
 * Reads an EROFS image in place: inodes, directories, xattrs and uncompressed data, with no idea of what they mean.
 *
 * Every byte is hostile. All offsets are checked against the image before they are used, every count is bounded by the bytes that
 * hold what is counted, and nothing is followed twice: a caller that visits each directory once does work linear in the image.
 */
import type { OnefoldError } from '../../error.ts'
import { compareBytes } from '../flat/flat-tree.ts'
import { S_IFDIR, S_IFLNK, S_IFMT } from '../tree.ts'
import {
  align,
  blockBits,
  chunkBased,
  chunkBitsMask,
  chunkFormatKnown,
  chunkIndexes,
  compact,
  compatXattrFilter,
  compressedCompact,
  compressedFull,
  dirent,
  extended,
  fileTypes,
  flatInline,
  formatExtended,
  formatKnown,
  header,
  headerMagic,
  incompatChunkedFile,
  incompatLz4Padding,
  incompatNames,
  layoutMask,
  layoutShift,
  nameMax,
  nullChunk,
  slotSize,
  superblock,
  superblockAt,
  superblockMagic,
  targetMax,
  xattrBody,
} from './erofs-records.ts'
import { XattrReader, type XattrName, XattrSpans, bad, unsupported } from './erofs-xattr-reader.ts'

export { bad, unsupported } from './erofs-xattr-reader.ts'

/** An inode's record, checked to lie in the image; its data has not been looked at. */
export interface RawInode {
  readonly nid: number
  /** i_ino: in composefs images the position in breadth-first order. */
  readonly ino: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly nlink: number
  readonly size: number
  readonly mtime: number
  readonly mtimeNsec: number
  /** flatPlain, flatInline or chunkBased. */
  readonly layout: number
  /** First block, chunk format or device number. */
  readonly union: number
  readonly xattrsAt: number
  readonly xattrBytes: number
  /** Where the tail, or the table of chunks, begins. */
  readonly tailAt: number
}

export interface RawXattr {
  readonly name: string
  /** A view of the image. */
  readonly value: Uint8Array
  /** Where it lies in the shared table; undefined for the inode's own. */
  readonly shared: number | undefined
}

/** Data comes in pieces of at most this size. */
const pieceSize = 1 << 20

/** Bytes of the image. */
export type Span = readonly [from: number, to: number]

/** Where a name lies in the image, and what it leads to. */
export type EntrySpanVisitor = (nameAt: number, nameEnd: number, nid: number, fileType: number) => void

export class ErofsReader {
  /** The version in composefs' header, or undefined: a plain EROFS image. */
  readonly composefsVersion: number | undefined
  readonly rootNid: number
  /** The image: what spans are in. */
  readonly bytes: Buffer
  readonly #view: DataView
  readonly #blockSize: number
  readonly #blockBits: number
  readonly #inodesAt: number
  readonly #mtime: number
  readonly #mtimeNsec: number
  readonly #xattrs: XattrReader
  readonly #spans = new XattrSpans()

  /** Throws BAD_FORMAT for what is no EROFS image, UNSUPPORTED for one with features that need more than this reader. */
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const at = superblockAt
    if (bytes.length < at + superblock.bytes)
      throw bad(`${bytes.length} bytes; its superblock alone ends at ${at + superblock.bytes}`)
    const magic = this.#u32(at + superblock.magic)
    if (magic !== superblockMagic)
      throw bad(`magic 0x${magic.toString(16)}; expected 0x${superblockMagic.toString(16)}`)
    this.#checkFeatures()
    this.#blockBits = this.bytes[at + superblock.blockBits] as number
    if (this.#blockBits < 9 || this.#blockBits > 16) throw unsupported(`blocks of 2^${this.#blockBits} bytes`)
    this.#blockSize = 1 << this.#blockBits
    this.composefsVersion = this.#u32(header.magic) === headerMagic ? this.#composefsVersion() : undefined
    this.rootNid = this.#view.getUint16(at + superblock.rootNid, true)
    this.#inodesAt = this.#u32(at + superblock.metaBlock) * this.#blockSize
    this.#mtime = this.#time(at + superblock.buildTime)
    this.#mtimeNsec = this.#u32(at + superblock.buildTimeNsec)
    const hasFilter = (this.#u32(at + superblock.featureCompat) & compatXattrFilter) !== 0
    const tableAt = this.#u32(at + superblock.xattrBlock) * this.#blockSize
    this.#xattrs = new XattrReader(this.bytes, tableAt, hasFilter)
  }

  #checkFeatures(): void {
    const features = this.#u32(superblockAt + superblock.featureIncompat) & ~(incompatLz4Padding | incompatChunkedFile)
    if (features !== 0) {
      const bit = 31 - Math.clz32(features & -features)
      throw unsupported(`it needs the feature ${incompatNames[bit] ?? `bit ${bit}`}`)
    }
    if (this.bytes[superblockAt + superblock.directoryBlockBits] !== 0)
      throw unsupported('its directories have blocks of another size')
    if (this.#view.getUint16(superblockAt + superblock.extraDevices, true) !== 0)
      throw unsupported('its data lies on other devices')
  }

  #composefsVersion(): number {
    const headerVersion = this.#u32(header.headerVersion)
    if (headerVersion !== 1) throw unsupported(`composefs header version ${headerVersion}`)
    if (this.#blockBits !== blockBits) throw bad('a composefs image has blocks of 4096 bytes')
    return this.#u32(header.version)
  }

  /** Bytes of the image: what all counts are measured against. */
  get length(): number {
    return this.bytes.length
  }

  inode(nid: number): RawInode {
    const at = this.#inodesAt + nid * slotSize
    this.#need(at, compact.bytes, 'inode', nid)
    const format = this.#view.getUint16(at + compact.format, true)
    if ((format & ~formatKnown) !== 0) throw unsupported(`inode ${nid} has format 0x${format.toString(16)}`)
    const layout = (format >> layoutShift) & layoutMask
    if (layout === compressedFull || layout === compressedCompact) throw unsupported(`inode ${nid} is compressed`)
    if (layout > chunkBased) throw unsupported(`inode ${nid} has data layout ${layout}`)
    return (format & formatExtended) === 0 ? this.#compact(nid, at, layout) : this.#extended(nid, at, layout)
  }

  #compact(nid: number, at: number, layout: number): RawInode {
    const view = this.#view
    const xattrsAt = at + compact.bytes
    const xattrBytes = this.#xattrBytes(nid, xattrsAt, view.getUint16(at + compact.xattrCount, true))
    return {
      nid,
      ino: this.#u32(at + compact.ino),
      mode: this.#mode(nid, at + compact.mode),
      uid: view.getUint16(at + compact.uid, true),
      gid: view.getUint16(at + compact.gid, true),
      nlink: view.getUint16(at + compact.nlink, true),
      size: this.#u32(at + compact.size),
      mtime: this.#mtime + this.#u32(at + compact.mtimeDelta),
      mtimeNsec: this.#mtimeNsec,
      layout,
      union: this.#u32(at + compact.union),
      xattrsAt,
      xattrBytes,
      tailAt: xattrsAt + xattrBytes,
    }
  }

  #extended(nid: number, at: number, layout: number): RawInode {
    this.#need(at, extended.bytes, 'inode', nid)
    const xattrsAt = at + extended.bytes
    const xattrBytes = this.#xattrBytes(nid, xattrsAt, this.#view.getUint16(at + extended.xattrCount, true))
    return {
      nid,
      ino: this.#u32(at + extended.ino),
      mode: this.#mode(nid, at + extended.mode),
      uid: this.#u32(at + extended.uid),
      gid: this.#u32(at + extended.gid),
      nlink: this.#u32(at + extended.nlink),
      size: this.#u64(at + extended.size, 'the size of inode', nid),
      mtime: this.#time(at + extended.mtime),
      mtimeNsec: this.#u32(at + extended.mtimeNsec),
      layout,
      union: this.#u32(at + extended.union),
      xattrsAt,
      xattrBytes,
      tailAt: xattrsAt + xattrBytes,
    }
  }

  #mode(nid: number, at: number): number {
    const mode = this.#view.getUint16(at, true)
    if (fileTypes[(mode & S_IFMT) >> 12] === undefined)
      throw bad(`inode ${nid} has mode 0${mode.toString(8)}, which is no file type`)
    return mode
  }

  #xattrBytes(nid: number, at: number, count: number): number {
    const bytes = count === 0 ? 0 : xattrBody.bytes + 4 * (count - 1)
    this.#need(at, bytes, 'the xattrs of inode', nid)
    return bytes
  }

  /** In the order they are stored: references to the shared table first. Names are full and occur once. */
  xattrs(inode: RawInode): RawXattr[] {
    const spans = this.#spans
    this.readXattrs(inode, spans)
    return Array.from({ length: spans.count }, (_, i): RawXattr => {
      const sharedAt = spans.sharedAt[i] as number
      return {
        name: (spans.names[i] as XattrName).text,
        value: this.bytes.subarray(spans.valueAt[i], spans.valueEnd[i]),
        shared: sharedAt < 0 ? undefined : sharedAt,
      }
    })
  }

  /** The same without objects: where they are. */
  readXattrs(inode: RawInode, spans: XattrSpans): void {
    this.#xattrs.read(inode.nid, inode.xattrsAt, inode.xattrBytes, spans)
  }

  /** Every entry, `.` and `..` included, in strictly ascending byte order of name. */
  entries(inode: RawInode, visit: (name: string, nid: number, fileType: number) => void): void {
    this.entrySpans(inode, (from, to, nid, fileType) => visit(this.bytes.toString('latin1', from, to), nid, fileType))
  }

  /** The same without strings: where the names are. */
  entrySpans(inode: RawInode, visit: EntrySpanVisitor): void {
    const { bytes } = this
    let previousAt = 0
    let previousLength = 0
    for (const [start, end] of this.#directoryBlocks(inode))
      this.#blockEntries(inode, start, end, (from, to, nid, fileType) => {
        if (compareBytes(bytes, previousAt, previousLength, from, to - from) >= 0)
          throw bad(`directory ${inode.nid} holds ${JSON.stringify(bytes.toString('latin1', from, to))} out of order`)
        previousAt = from
        previousLength = to - from
        visit(from, to, nid, fileType)
        return false
      })
  }

  /** The nid under a name, or undefined. Reads a logarithmic number of the directory's blocks. */
  find(inode: RawInode, name: string): number | undefined {
    const blocks = this.#directoryBlocks(inode)
    let low = 0
    let high = blocks.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      const [from, to] = blocks[middle] as Span
      let first = ''
      this.#blockEntries(inode, from, to, (nameAt, nameEnd) => {
        first = this.bytes.toString('latin1', nameAt, nameEnd)
        return true
      })
      if (first <= name) low = middle
      else high = middle - 1
    }
    const block = blocks[low]
    let found: number | undefined
    if (block !== undefined)
      this.#blockEntries(inode, block[0], block[1], (nameAt, nameEnd, nid) => {
        const entry = this.bytes.toString('latin1', nameAt, nameEnd)
        if (entry === name) found = nid
        return entry >= name
      })
    return found
  }

  #directoryBlocks(inode: RawInode): Span[] {
    if ((inode.mode & S_IFMT) !== S_IFDIR) throw bad(`inode ${inode.nid} is no directory`)
    if (inode.layout === chunkBased) throw unsupported(`directory ${inode.nid} lies in chunks`)
    const blocks: Span[] = []
    for (const [start, end] of this.flatSpans(inode))
      for (let at = start; at < end; at += this.#blockSize) blocks.push([at, Math.min(at + this.#blockSize, end)])
    return blocks
  }

  /** `visit` ends the walk by returning true. */
  #blockEntries(
    inode: RawInode,
    from: number,
    to: number,
    visit: (nameAt: number, nameEnd: number, nid: number, fileType: number) => boolean,
  ): void {
    if (from + dirent.bytes > to) throw bad(`a block of directory ${inode.nid} is too short for an entry`)
    const namesAt = this.#view.getUint16(from + dirent.nameOffset, true)
    if (namesAt < dirent.bytes || namesAt % dirent.bytes !== 0 || from + namesAt > to) throw badNames(inode)
    const count = namesAt / dirent.bytes
    let nameAt = from + namesAt
    for (let i = 0; i < count; i++) {
      const at = from + i * dirent.bytes
      const nameEnd =
        i + 1 < count
          ? from + this.#view.getUint16(at + dirent.bytes + dirent.nameOffset, true)
          : this.#lastNameEnd(nameAt, to)
      if (nameEnd <= nameAt || nameEnd > to || nameEnd - nameAt > nameMax) throw badNames(inode)
      if (!isName(this.bytes, nameAt, nameEnd)) throw badNames(inode)
      const nid = this.#u64(at + dirent.nid, 'an entry of directory', inode.nid)
      if (visit(nameAt, nameEnd, nid, this.bytes[at + dirent.fileType] as number)) return
      nameAt = nameEnd
    }
  }

  #lastNameEnd(from: number, to: number): number {
    const zero = this.bytes.subarray(from, to).indexOf(0)
    return zero < 0 ? to : from + zero
  }

  /** The target of a symlink. */
  target(inode: RawInode): string {
    return this.targetSpans(inode)
      .map(([from, to]) => this.bytes.toString('latin1', from, to))
      .join('')
  }

  /** The same without a string. */
  targetSpans(inode: RawInode): Span[] {
    if (inode.size === 0 || inode.size > targetMax)
      throw bad(`symlink ${inode.nid} has a target of ${inode.size} bytes`)
    if ((inode.mode & S_IFMT) !== S_IFLNK || inode.layout === chunkBased)
      throw unsupported(`inode ${inode.nid} is no symlink with flat data`)
    const spans = this.flatSpans(inode)
    for (const [from, to] of spans)
      for (let at = from; at < to; at++)
        if (this.bytes[at] === 0) throw bad(`symlink ${inode.nid} has a zero byte in its target`)
    return spans
  }

  /**
   * The bytes of a file, in order, in pieces that are views of the image or of a block of zeros. A chunk-based file may claim any
   * size with hardly any bytes behind it: the caller sets the limit.
   */
  *data(inode: RawInode): Generator<Uint8Array> {
    if (inode.layout === chunkBased) yield* this.#chunks(inode)
    else for (const [from, to] of this.flatSpans(inode)) yield* this.#pieces(from, to)
  }

  *#pieces(from: number, to: number): Generator<Uint8Array> {
    for (let at = from; at < to; at += pieceSize) yield this.bytes.subarray(at, Math.min(at + pieceSize, to))
  }

  /** Where flat data lies: whole blocks, then the tail behind the inode. */
  flatSpans(inode: RawInode): Span[] {
    const tail = inode.layout === flatInline ? inode.size % this.#blockSize : 0
    const inBlocks = inode.size - tail
    const at = inode.union * this.#blockSize
    const what = 'the data of inode'
    const spans: Span[] = []
    if (inBlocks > 0) {
      this.#need(at, inBlocks, what, inode.nid)
      spans.push([at, at + inBlocks])
    }
    if (inode.layout === flatInline && tail === 0)
      throw bad(`${what} ${inode.nid} should have a tail behind the inode and has none`)
    if (tail > 0) {
      this.#need(inode.tailAt, tail, what, inode.nid)
      if ((inode.tailAt % this.#blockSize) + tail > this.#blockSize)
        throw bad(`${what} ${inode.nid} crosses the end of a block`)
      spans.push([inode.tailAt, inode.tailAt + tail])
    }
    return spans
  }

  *#chunks(inode: RawInode): Generator<Uint8Array> {
    const format = inode.union & 0xffff
    if ((format & ~chunkFormatKnown) !== 0)
      throw unsupported(`inode ${inode.nid} has chunk format 0x${format.toString(16)}`)
    const chunkSize = 2 ** (this.#blockBits + (format & chunkBitsMask))
    const width = (format & chunkIndexes) === 0 ? 4 : 8
    const table = align(inode.tailAt, width)
    this.#need(table, Math.ceil(inode.size / chunkSize) * width, 'the chunks of inode', inode.nid)
    for (let i = 0; i * chunkSize < inode.size; i++) {
      const length = Math.min(chunkSize, inode.size - i * chunkSize)
      const block = this.#chunkBlock(table + i * width, width, inode)
      if (block === nullChunk) yield* zeros(length)
      else {
        const from = block * this.#blockSize
        this.#need(from, length, 'a chunk of inode', inode.nid)
        yield* this.#pieces(from, from + length)
      }
    }
  }

  #chunkBlock(at: number, width: number, inode: RawInode): number {
    if (width === 4) return this.#u32(at)
    if (this.#view.getUint16(at + 2, true) !== 0)
      throw unsupported(`a chunk of inode ${inode.nid} lies on another device`)
    return this.#u32(at + 4)
  }

  /** `what` and `nid` are for the message, which is hardly ever needed. */
  #need(at: number, length: number, what: string, nid: number): void {
    if (at < 0 || at + length > this.bytes.length)
      throw bad(`${what} ${nid} ends at byte ${at + length} of ${this.bytes.length}`)
  }

  #u32(at: number): number {
    return this.#view.getUint32(at, true)
  }

  #u64(at: number, what: string, nid: number): number {
    const value = this.#u32(at + 4) * 2 ** 32 + this.#u32(at)
    if (value > 2 ** 53) throw bad(`${what} ${nid} is beyond 2^53`)
    return value
  }

  /** Seconds, two's complement. */
  #time(at: number): number {
    const seconds = this.#view.getInt32(at + 4, true) * 2 ** 32 + this.#u32(at)
    if (!Number.isSafeInteger(seconds)) throw bad('a time is beyond 2^53 seconds')
    return seconds
  }
}

function* zeros(length: number): Generator<Uint8Array> {
  const block = new Uint8Array(Math.min(length, pieceSize))
  for (let left = length; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block
}

function isName(bytes: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (bytes[at] === 0x2f || bytes[at] === 0) return false
  return true
}

function badNames(inode: RawInode): OnefoldError {
  return bad(`directory ${inode.nid} holds names that overlap, leave their block or cannot be names`)
}
