/**
 * Walks through an index and makes the entries of a layer of it: whiteouts again from what overlayfs takes for them, and
 * hard links from further names of an inode.
 *
 * Every byte of the index is hostile. No directory is entered twice, and all that is made of the index is counted.
 */
import { type Entry, newEntry, noContent, noXattrs } from '../entry.ts'
import type { Chunk } from '../erofs/chunk-data.ts'
import { checkEntryType } from '../erofs/entry-type.ts'
import { bad, unsupported } from '../erofs/erofs-error.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import type { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased, chunkIndex } from '../erofs/erofs-records.ts'
import { XattrSpans } from '../erofs/erofs-xattr-reader.ts'
import { nodeTypeOf, unpackDevice } from '../node-type.ts'
import { opaqueMarker, whiteoutPrefix } from '../oci/whiteouts.ts'
import { checkXattr } from '../tar/pax.ts'
import { maxNameBytes, maxPathBytes, quoteName } from '../path.ts'
import { maxId } from '../toc-json/toc-entry.ts'
import type { IndexBudget } from './index-budget.ts'
import { isWhiteout } from './index-inode.ts'
import { opaqueValue, opaqueXattr, originXattr } from './index-xattrs.ts'
import { type Stretch, type TarPlace, joinChunks } from './tar-extents.ts'

/** An entry, and the stretches of the tar with its content. */
export interface WalkedEntry {
  readonly entry: Entry
  readonly stretches: readonly Stretch[]
}

interface NamedDirectory {
  readonly path: string
  readonly nid: number
}

export class IndexWalk {
  readonly entries: WalkedEntry[] = []
  readonly #reader: ErofsReader
  readonly #tar: TarPlace
  readonly #implied: ReadonlySet<number>
  readonly #budget: IndexBudget
  readonly #spans = new XattrSpans()
  readonly #directories = new Set<number>()
  /** First name of each inode that is no directory. */
  readonly #firstNames = new Map<number, string>()
  readonly #pending: NamedDirectory[] = []

  /** @param implied the numbers of directories that are to have no entry */
  constructor(reader: ErofsReader, tar: TarPlace, implied: ReadonlySet<number>, budget: IndexBudget) {
    this.#reader = reader
    this.#tar = tar
    this.#implied = implied
    this.#budget = budget
  }

  run(): void {
    this.#pending.push({ path: '', nid: this.#reader.rootNid })
    for (let directory = this.#pending.pop(); directory !== undefined; directory = this.#pending.pop())
      this.#readDirectory(directory)
    for (const nid of this.#implied)
      if (!this.#directories.has(nid))
        throw bad(`inode ${nid} is said to be a directory that the tar leaves out, and is none`)
  }

  #readDirectory({ path, nid }: NamedDirectory): void {
    if (this.#directories.has(nid)) throw bad(`directory ${nid} has a second name, ${quoteName(path)}`)
    this.#directories.add(nid)
    const inode = this.#reader.inode(nid)
    const xattrs = this.#xattrsOf(inode)
    const isOpaque = takeOverlayMarks(xattrs)
    if (!this.#implied.has(nid)) this.#add({ ...this.#entryOf(path, inode), xattrs })
    const markers = new Set<string>()
    if (isOpaque) this.#add(newEntry({ path: this.#pathOf(path, opaqueMarker, markers), type: 'file', mode: 0 }))
    const from = this.#pending.length
    this.#reader.entries(inode, (name, child, fileType) => {
      if (name !== '.' && name !== '..') this.#readName(path, name, this.#reader.inode(child), fileType, markers)
    })
    // The first of them comes next.
    this.#pending.push(...this.#pending.splice(from).toReversed())
  }

  #readName(parent: string, name: string, inode: RawInode, fileType: number, markers: Set<string>): void {
    checkEntryType(inode.nid, inode.mode, fileType)
    if (isWhiteout({ mode: inode.mode, rdev: inode.union }))
      return this.#add(whiteoutAt(this.#pathOf(parent, `${whiteoutPrefix}${name}`, markers), inode))
    const path = this.#pathOf(parent, name, markers)
    if (nodeTypeOf(inode) === 'directory') this.#pending.push({ path, nid: inode.nid })
    else this.#addNamed(path, inode)
  }

  #addNamed(path: string, inode: RawInode): void {
    const entry = this.#entryOf(path, inode)
    const first = this.#firstNames.get(inode.nid)
    if (first !== undefined) return this.#add(hardlinkTo(first, entry))
    this.#firstNames.set(inode.nid, path)
    this.#add({ ...entry, xattrs: this.#xattrsOf(inode) }, this.#stretchesOf(entry, inode))
  }

  #add(entry: Entry, stretches: readonly Stretch[] = []): void {
    this.#budget.takeEntry()
    this.#budget.takeBytes(entry.path.length + entry.link.length)
    this.entries.push({ entry, stretches })
  }

  /**
   * Joins a name to the path of its directory.
   * @param markers names in the directory so far that begin like those of whiteouts, since these could be said in two ways
   */
  #pathOf(parent: string, name: string, markers: Set<string>): string {
    const path = parent === '' ? name : `${parent}/${name}`
    if (name.length > maxNameBytes || path.length > maxPathBytes)
      throw bad(`the name ${quoteName(path)} is longer than Linux takes`)
    if (name.startsWith(whiteoutPrefix)) {
      if (markers.has(name)) throw bad(`it says ${quoteName(path)} twice`)
      markers.add(name)
    }
    return path
  }

  /** Makes the entry of an inode under one of its names, without its attributes. */
  #entryOf(path: string, inode: RawInode): Entry {
    const type = nodeTypeOf(inode)
    const [major, minor] = type === 'char' || type === 'block' ? unpackDevice(inode.union) : [0, 0]
    return {
      path,
      type,
      mode: inode.mode & 0o7777,
      ...ownerOf(inode),
      ...timeOf(inode),
      major,
      minor,
      link: type === 'symlink' ? this.#reader.target(inode) : '',
      xattrs: noXattrs,
      content: type === 'file' && inode.size > 0 ? { kind: 'unknown', size: inode.size } : noContent,
    }
  }

  #stretchesOf({ type, path }: Entry, inode: RawInode): Stretch[] {
    if (type !== 'file' || inode.size === 0) return []
    this.#budget.takeFile(inode.size)
    if (inode.layout !== chunkBased) throw unsupported(`the content of ${quoteName(path)} is not in the tar`)
    return joinChunks(this.#counted(this.#reader.chunks(inode)), this.#tar, this.#reader.blockSize)
  }

  *#counted(chunks: Iterable<Chunk>): Generator<Chunk> {
    for (const chunk of chunks) {
      this.#budget.takeBytes(chunkIndex.bytes)
      yield chunk
    }
  }

  #xattrsOf(inode: RawInode): Map<string, Uint8Array> {
    const spans = this.#spans
    this.#reader.readXattrs(inode, spans)
    const xattrs = new Map<string, Uint8Array>()
    for (let i = 0; i < spans.count; i++) {
      const name = spans.names[i]?.text ?? ''
      const value = this.#reader.bytes.subarray(spans.valueAt[i], spans.valueEnd[i])
      this.#budget.takeBytes(name.length + value.length)
      checkXattr(name, value)
      xattrs.set(name, value)
    }
    return xattrs
  }
}

/** Takes away what overlayfs is told about a directory; says whether this hides what lower layers have in it. */
function takeOverlayMarks(xattrs: Map<string, Uint8Array>): boolean {
  const isOpaque = Buffer.from(xattrs.get(opaqueXattr) ?? []).equals(opaqueValue)
  if (isOpaque) xattrs.delete(opaqueXattr)
  if (xattrs.get(originXattr)?.length === 0) xattrs.delete(originXattr)
  return isOpaque
}

function whiteoutAt(path: string, inode: RawInode): Entry {
  return newEntry({ path, type: 'file', mode: 0, ...ownerOf(inode), ...timeOf(inode) })
}

function hardlinkTo(link: string, entry: Entry): Entry {
  return { ...entry, type: 'hardlink', link, major: 0, minor: 0, content: noContent }
}

function ownerOf({ nid, uid, gid }: RawInode): Pick<Entry, 'uid' | 'gid'> {
  if (uid > maxId || gid > maxId) throw bad(`inode ${nid} has the owner ${uid}:${gid}, which nobody can be`)
  return { uid, gid }
}

function timeOf({ nid, mtime, mtimeNsec }: RawInode): Pick<Entry, 'mtime' | 'mtimeNsec'> {
  if (mtimeNsec > 999_999_999) throw bad(`inode ${nid} has a time with ${mtimeNsec} nanoseconds`)
  return { mtime, mtimeNsec }
}
