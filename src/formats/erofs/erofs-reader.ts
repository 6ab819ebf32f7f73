/**
 * Reads an EROFS image in place: inodes, directories, attributes and data, with no idea of what they mean.
 *
 * Every byte is hostile. All offsets are checked against the image before they are used, every count is bounded by the bytes that
 * hold what is counted, and nothing is followed twice: a caller that visits each directory once does work linear in the image.
 */
import { type Chunk, chunksOf } from './chunk-data.ts'
import { checkLayout, readData } from './data-layouts.ts'
import type { Device } from './device-table.ts'
import { type EntrySpanVisitor, findEntry, visitEntries } from './erofs-directory.ts'
import { type RawInode, readInode } from './erofs-inode.ts'
import { targetSpans } from './erofs-symlink.ts'
import { ErofsVolume, type Span, type VolumeOptions } from './erofs-volume.ts'
import { XattrReader, type XattrSpans } from './erofs-xattr-reader.ts'
import { flatSpans } from './flat-data.ts'

export class ErofsReader {
  /** The image, which spans are stretches of. */
  readonly bytes: Buffer
  readonly #volume: ErofsVolume
  readonly #xattrs: XattrReader

  /** Throws BAD_FORMAT for what is no EROFS image, UNSUPPORTED for one with features that need more than this reader. */
  constructor(image: Uint8Array, options: VolumeOptions = {}) {
    this.#volume = new ErofsVolume(image, options)
    this.bytes = this.#volume.bytes.buffer
    this.#xattrs = new XattrReader(this.#volume)
  }

  /** The number of bytes in the image, which all counts are measured against. */
  get length(): number {
    return this.bytes.length
  }

  get blockSize(): number {
    return this.#volume.blockSize
  }

  get rootNid(): number {
    return this.#volume.rootNid
  }

  /** The time in seconds that compact inodes count from. */
  get buildTime(): number {
    return this.#volume.buildTime
  }

  /** Other devices that files lie on. */
  get devices(): readonly Device[] {
    return this.#volume.devices
  }

  inode(nid: number): RawInode {
    const inode = readInode(this.#volume, nid)
    checkLayout(inode)
    return inode
  }

  /** Finds the attributes of an inode: references to the shared table first. Names are full and occur once. */
  readXattrs(inode: RawInode, spans: XattrSpans): void {
    this.#xattrs.read(inode, spans)
  }

  /** Visits every entry, `.` and `..` included, in strictly ascending byte order of name. */
  entries(directory: RawInode, visit: (name: string, nid: number, fileType: number) => void): void {
    this.entrySpans(directory, (from, to, nid, fileType) => visit(this.#text(from, to), nid, fileType))
  }

  /** Visits every entry as `entries` does, told where its name lies. */
  entrySpans(directory: RawInode, visit: EntrySpanVisitor): void {
    visitEntries(this.#volume, directory, visit)
  }

  /** The nid under a name, or undefined. Reads a logarithmic number of the directory's blocks. */
  find(directory: RawInode, name: string): number | undefined {
    return findEntry(this.#volume, directory, name)
  }

  /** The target of a symlink. */
  target(inode: RawInode): string {
    return this.targetSpans(inode)
      .map(([from, to]) => this.#text(from, to))
      .join('')
  }

  /** The stretches in which the target of a symlink lies. */
  targetSpans(inode: RawInode): Span[] {
    return targetSpans(this.#volume, inode)
  }

  /**
   * The bytes of a file, in order, in pieces that are views of the image or of a block of zeros. A chunk-based file may claim any
   * size with hardly any bytes behind it: the caller sets the limit.
   */
  data(inode: RawInode): Generator<Uint8Array> {
    return readData(this.#volume, inode)
  }

  /** The chunks of a file that lies in chunks, whatever devices those are on. */
  chunks(inode: RawInode): Generator<Chunk> {
    return chunksOf(this.#volume, inode)
  }

  /** The stretches in which the data of an inode with a flat layout lies. */
  flatSpans(inode: RawInode): Span[] {
    return flatSpans(this.#volume, inode)
  }

  #text(from: number, to: number): string {
    return this.bytes.toString('latin1', from, to)
  }
}
