/**
 * An image a file at a time: every question reads no more than it must. Everything in the image is hostile, as in
 * read-image.ts; what is not read is not checked.
 */
import { checkEntryType } from '../erofs/entry-type.ts'
import { bad } from '../erofs/erofs-error.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased } from '../erofs/erofs-records.ts'
import { type FoundInode, type LookupOptions, type Steps, walkPath } from '../lookup.ts'
import { S_IFDIR, S_IFLNK, S_IFMT } from '../tree.ts'
import { type ErofsReadOptions, type FileInfo, InodeDecoder, asWhiteout } from './inode-decoder.ts'

/** Opens an image of which only what is asked for is read. */
export function openErofs(bytes: Uint8Array, options: ErofsReadOptions = {}): ErofsView {
  return new ErofsView(new ErofsReader(bytes), options)
}

interface Place {
  readonly raw: RawInode
  /** The directory in which it was found; undefined for the root. */
  readonly parent: RawInode | undefined
}

/** An open image: every question reads no more than it must. */
export class ErofsView {
  readonly #image: ErofsReader
  readonly #decoder: InodeDecoder
  /** Steps on which inodes are only met: decoding a directory may mean reading all of it. */
  readonly #steps: Steps<Place> = {
    isDirectory: ({ raw }) => (raw.mode & S_IFMT) === S_IFDIR,
    child: ({ raw: parent }, name) => {
      const nid = this.#image.find(parent, name)
      if (nid === undefined) return undefined
      const raw = this.#image.inode(nid)
      return this.#decoder.isStub(parent, name, raw) ? undefined : { raw, parent }
    },
    target: ({ raw }) => ((raw.mode & S_IFMT) === S_IFLNK ? this.#image.target(raw) : ''),
  }

  constructor(image: ErofsReader, options: ErofsReadOptions) {
    this.#image = image
    this.#decoder = new InodeDecoder(image, options)
  }

  /** Version of the composefs format; undefined for a plain EROFS image. */
  get version(): number | undefined {
    return this.#decoder.version
  }

  get root(): FileInfo {
    return this.#info(this.#image.inode(this.#image.rootNid), undefined)
  }

  /** Finds what `lookup` would find in the whole tree. */
  lookup(path: string, options: LookupOptions = {}): FoundInode<FileInfo> | undefined {
    const root: Place = { raw: this.#image.inode(this.#image.rootNid), parent: undefined }
    const found = walkPath(root, this.#steps, path, options)
    return found && { path: found.path, inode: this.#info(found.inode.raw, found.inode.parent) }
  }

  /** The children of a directory in byte order of name. */
  list(directory: FileInfo): [name: string, info: FileInfo][] {
    const raw = this.#image.inode(directory.nid)
    const children = this.#children(raw)
    const inodes = new Map(children.map(([, child]) => [child.nid, child]))
    // Records that overlap could make much more of the image than it has bytes.
    const claimed = inodes.values().reduce((sum, { layout, size }) => sum + (layout === chunkBased ? 0 : size), 0)
    if (claimed > this.#image.length)
      throw bad(`the inodes in directory ${raw.nid} claim more data than its ${this.#image.length} bytes`)
    const infos = new Map(inodes.values().map((child) => [child.nid, this.#info(child, raw)]))
    return children.map(([name, { nid }]) => [name, infos.get(nid) as FileInfo])
  }

  /** The bytes of a file that lie in the image. */
  data(file: FileInfo): Iterable<Uint8Array> {
    return file.content.kind === 'inline' ? [file.content.bytes] : this.#image.data(this.#image.inode(file.nid))
  }

  #children(directory: RawInode): [name: string, raw: RawInode][] {
    const children: [string, RawInode][] = []
    this.#image.entries(directory, (name, nid, fileType) => {
      if (name === '.' || name === '..') return
      const raw = this.#image.inode(nid)
      checkEntryType(nid, raw.mode, fileType)
      if (!this.#decoder.isStub(directory, name, raw)) children.push([name, raw])
    })
    return children
  }

  #info(raw: RawInode, parent: RawInode | undefined): FileInfo {
    const info = this.#decoder.decode(raw)
    if (this.#decoder.mayHoldWhiteouts(info) && this.#holdsWhiteouts(raw))
      return { ...info, xattrs: this.#decoder.withoutWhiteoutMarks(info.xattrs) }
    // A hard link to a whiteout does not mark its own directory; looking for the others would mean reading the whole image.
    const isWhiteout =
      this.#decoder.mayBeWhiteout(info) &&
      parent !== undefined &&
      (info.nlink > 1 || this.#decoder.mayHoldWhiteouts(this.#decoder.decode(parent)))
    return isWhiteout ? asWhiteout(info) : info
  }

  #holdsWhiteouts(directory: RawInode): boolean {
    return this.#children(directory).some(([, raw]) => this.#decoder.mayBeWhiteout(this.#decoder.decode(raw)))
  }
}
