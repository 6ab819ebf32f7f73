import { OnefoldError } from '../../error.ts'
import { bad } from '../erofs/erofs-error.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import type { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased, nameMax, slotSize } from '../erofs/erofs-records.ts'
import type { Span } from '../erofs/erofs-volume.ts'
import type { XattrSpans } from '../erofs/erofs-xattr-reader.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { composefsVersion, inlineContentMax } from './composefs-header.ts'
import { InodeOrders, isWhiteoutDevice } from './inode-orders.ts'
import { whiteoutNames } from './overlay-xattrs.ts'

/** More levels than a path of the kernel's length can have. */
const depthMax = 4096
const [escapedWhiteout] = whiteoutNames
const SLASH = 0x2f

/**
 * The files of an image one by one, as composefs' own tools see them: a file is itself under the name that comes first,
 * and every empty file that says that it stands for a whiteout is one. Depth-first, in byte order of names.
 *
 * It is the same node each time, good until the next: everything it tells is where bytes are, for the image can have more
 * files than there is room for objects.
 *
 * (The tree that `readErofs` gives is the truer one. It knows the primary name of every file and which marks are the
 * user's own, and refuses images that would show something else when they are mounted.)
 * @param only of the root's entries, those with these names
 */
export function* imageNodes(image: ErofsReader, only?: ReadonlySet<string>): Generator<ImageNode> {
  if (composefsVersion(image) === undefined) throw bad('it is no composefs image')
  const walk = new ImageWalk(image, only)
  do yield walk
  while (walk.next())
}

export interface ImageNode {
  /** The path, absolute, '' for the root: the first `pathEnd` of these bytes. */
  readonly path: Buffer
  readonly pathEnd: number
  /** The path under which the file was met before. */
  readonly linkTo: Buffer | undefined
  readonly inode: RawInode
  /** st_mode; that of a device for a whiteout. */
  readonly mode: number
  readonly rdev: number
  /** The image, which spans are stretches of. */
  readonly image: Buffer
  /** The target of a symlink, the content of a file that has it in the image. */
  readonly data: readonly Span[] | undefined
  /** The place of a file's bytes below the object directory. */
  readonly redirect: Span | undefined
  /** Offset of the 32 bytes of the digest; -1 without one. */
  readonly digestAt: number
  readonly xattrs: XattrSpans
  /** Whether the attribute at an index is the user's own, rather than an order to overlayfs or the mark of a whiteout. */
  isShown(index: number): boolean
}

/** A directory whose entries are being visited. */
interface OpenDirectory {
  readonly nid: number
  readonly pathEnd: number
  /** Places in the stack of entries. */
  next: number
  readonly end: number
}

/** Meets everything once; what the data of all inodes adds up to may not exceed the image, or records overlap. */
class ImageWalk implements ImageNode {
  readonly image: Buffer
  path = Buffer.allocUnsafe(4096)
  pathEnd = 0
  linkTo: Buffer | undefined
  inode: RawInode
  mode = 0
  rdev = 0
  data: readonly Span[] | undefined
  redirect: Span | undefined
  digestAt = -1
  readonly #orders: InodeOrders
  readonly #reader: ErofsReader
  readonly #open: OpenDirectory[] = []
  /** Entries of the open directories, three numbers each: where the name begins and ends, and the nid. */
  readonly #entries: number[] = []
  /** By nid, for inodes that were met: the directory, and the name there, by which it may be met again. */
  readonly #parents: Uint32Array
  readonly #nameAt: Uint32Array
  readonly #nameLength: Uint8Array
  #budget: number

  constructor(reader: ErofsReader, only: ReadonlySet<string> | undefined) {
    this.#reader = reader
    this.#orders = new InodeOrders(reader)
    this.image = reader.bytes
    this.#budget = reader.length
    const slots = Math.ceil(reader.length / slotSize)
    this.#parents = new Uint32Array(slots)
    this.#nameAt = new Uint32Array(slots)
    this.#nameLength = new Uint8Array(slots)
    this.inode = reader.inode(reader.rootNid)
    this.#charge()
    this.#describe()
    this.#enter(only)
  }

  /** Moves on; false at the end. */
  next(): boolean {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1))
      if (top.next === top.end) this.#leave()
      else if (this.#visit(top)) return true
    return false
  }

  get xattrs(): XattrSpans {
    return this.#orders.xattrs
  }

  isShown(index: number): boolean {
    if (this.#orders.roleOf(index) === 'user') return true
    return this.xattrs.names[index]?.text === escapedWhiteout && !this.#orders.isMarkedWhiteout
  }

  /** Moves to the next entry of a directory; false for what is not to be seen. */
  #visit(directory: OpenDirectory): boolean {
    const nameAt = this.#entries[directory.next++] as number
    const nameEnd = this.#entries[directory.next++] as number
    const inode = this.#reader.inode(this.#entries[directory.next++] as number)
    if (isWhiteoutDevice(inode)) return false
    this.inode = inode
    this.pathEnd = directory.pathEnd
    this.#appendName(nameAt, nameEnd)
    const isDirectory = (inode.mode & S_IFMT) === S_IFDIR
    const { nid } = inode
    if (nid === this.#reader.rootNid || this.#nameLength[nid] !== 0) {
      if (isDirectory) throw bad(`directory ${nid} has two names`)
      this.linkTo = this.#pathOf(nid)
    } else {
      this.linkTo = undefined
      this.#parents[nid] = directory.nid
      this.#nameAt[nid] = nameAt
      this.#nameLength[nid] = nameEnd - nameAt
      this.#charge()
    }
    this.#describe()
    if (isDirectory) this.#enter(undefined)
    return true
  }

  #charge(): void {
    if (this.inode.layout !== chunkBased) this.#budget -= this.inode.size
    if (this.#budget < 0) throw bad(`its inodes claim more data than its ${this.#reader.length} bytes`)
  }

  #enter(only: ReadonlySet<string> | undefined): void {
    if (this.#open.length > depthMax)
      throw new OnefoldError('LIMIT', `Cannot read image: more than ${depthMax} levels deep`)
    const entries = this.#entries
    const first = entries.length
    this.#reader.entrySpans(this.inode, (from, to, nid) => {
      if (isDots(this.image, from, to)) return
      if (only === undefined || only.has(this.image.toString('latin1', from, to))) entries.push(from, to, nid)
    })
    this.#open.push({ nid: this.inode.nid, pathEnd: this.pathEnd, next: first, end: entries.length })
  }

  #leave(): void {
    this.#open.pop()
    this.#entries.length = this.#open.at(-1)?.end ?? 0
  }

  #appendName(from: number, to: number): void {
    if (this.pathEnd + 1 + nameMax > this.path.length) this.path = Buffer.concat([this.path], 2 * this.path.length)
    this.path[this.pathEnd++] = SLASH
    for (let at = from; at < to; at++) this.path[this.pathEnd++] = this.image[at] as number
  }

  #pathOf(nid: number): Buffer {
    const names: Buffer[] = []
    for (let at = nid; at !== this.#reader.rootNid; at = this.#parents[at] as number) {
      const nameAt = this.#nameAt[at] as number
      names.push(this.image.subarray(nameAt, nameAt + (this.#nameLength[at] as number)), slash)
    }
    return Buffer.concat(names.reverse())
  }

  #describe(): void {
    const { inode } = this
    const type = inode.mode & S_IFMT
    this.#orders.read(inode)
    this.redirect = this.#orders.place
    this.digestAt = this.#orders.digestAt
    this.mode = this.#orders.isMarkedWhiteout ? (inode.mode & ~S_IFMT) | S_IFCHR : inode.mode
    this.rdev = type === S_IFCHR || type === S_IFBLK ? inode.union : 0
    this.data = type === S_IFLNK ? this.#reader.targetSpans(inode) : type === S_IFREG ? this.#content() : undefined
  }

  #content(): readonly Span[] | undefined {
    const { nid, size, layout } = this.inode
    if (layout === chunkBased || size === 0) return undefined
    if (size > inlineContentMax) throw bad(`inode ${nid} has ${size} bytes of content in the image`)
    return this.#reader.flatSpans(this.inode)
  }
}

const slash = Buffer.from('/', 'latin1')

function isDots(bytes: Uint8Array, from: number, to: number): boolean {
  return bytes[from] === 0x2e && (to === from + 1 || (to === from + 2 && bytes[from + 1] === 0x2e))
}
