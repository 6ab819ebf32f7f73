/**
 * Places the inodes of an index, and the data that is in the index itself: the names in directories, and the targets of
 * symlinks. The order is that of mkfs.erofs: the inodes of what lies in a directory follow one another in byte order of
 * name, then come the names, then the directories in it, each with all that lies below it.
 */
import {
  align,
  chunkBased,
  chunkIndex,
  compact,
  deviceSlot,
  extended,
  flatInline,
  flatPlain,
  slotSize,
  superblock,
  superblockAt,
} from '../erofs/erofs-records.ts'
import { compareNames } from '../tree.ts'
import { chunkCountOf } from './chunk-format.ts'
import { type DirectoryBlocks, cutDirectory } from './directory-blocks.ts'
import { type IndexDirectory, type IndexInode, isDirectory } from './index-inode.ts'
import { encodeXattrs } from './index-xattrs.ts'
import { type Place, RecordBlocks, type Run, blockSize } from './record-blocks.ts'

export interface IndexLayout {
  readonly root: PlacedInode
  /** Inodes in the order of their serial numbers. */
  readonly inodes: readonly PlacedInode[]
  readonly placeOf: (inode: IndexInode) => PlacedInode
  readonly deviceTableAt: number
  readonly blocks: number
}

/** An inode and where it lies. */
export interface PlacedInode {
  readonly inode: IndexInode
  /** Directory that the inode lies in; for the root, the root. */
  readonly parent: IndexDirectory
  readonly place: Place
  readonly serial: number
  readonly isExtended: boolean
  readonly xattrs: Uint8Array
  /** flatPlain, flatInline or chunkBased. */
  readonly layout: number
  /** Names of a directory; undefined for everything else. */
  readonly names: DirectoryBlocks | undefined
  /** Blocks of the index with the inode's data. */
  data: Run | undefined
}

/** The number by which directories refer to an inode. */
export function nidOf({ place }: PlacedInode): number {
  return positionOf(place) / slotSize
}

/** The byte of the image that a place is. */
export function positionOf({ run, at }: Place): number {
  return startOf(run) * blockSize + at
}

/** The first block of a run that has its place. */
export function startOf({ start }: Run): number {
  if (start === undefined) throw new Error('a run of blocks has no place yet')
  return start
}

/** Counts the bytes of data that do not fill a block: they lie behind the inode if they can. */
export function tailOf(size: number): number {
  return size % blockSize
}

export function layOut(root: IndexDirectory, buildTime: number): IndexLayout {
  const layout = new Layout(buildTime)
  const deviceTable = layout.blocks.addRecord(deviceSlot.bytes, deviceSlot.bytes)
  layout.blocks.place(layout.placeInode(root, root).place.run)
  layout.placeBelow(root)
  layout.blocks.placeAll()
  return {
    root: layout.placeOf(root),
    inodes: layout.inodes,
    placeOf: (inode) => layout.placeOf(inode),
    deviceTableAt: positionOf(deviceTable),
    blocks: layout.blocks.count,
  }
}

class Layout {
  readonly blocks = new RecordBlocks(superblockAt + superblock.bytes)
  readonly inodes: PlacedInode[] = []
  readonly #placed = new Map<IndexInode, PlacedInode>()
  readonly #buildTime: number

  constructor(buildTime: number) {
    this.#buildTime = buildTime
  }

  placeOf(inode: IndexInode): PlacedInode {
    const placed = this.#placed.get(inode)
    if (placed === undefined) throw new Error('an inode has no place yet')
    return placed
  }

  placeBelow(root: IndexDirectory): void {
    const pending = [root]
    for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
      const directories = this.#placeChildren(directory)
      this.#placeNames(directory)
      pending.push(...directories.reverse())
    }
  }

  /** Places children that have no place yet; returns the directories among them. */
  #placeChildren(directory: IndexDirectory): IndexDirectory[] {
    const directories: IndexDirectory[] = []
    for (const [, child] of [...directory.children].sort(([a], [b]) => compareNames(a, b))) {
      if (this.#placed.has(child)) continue
      this.placeInode(child, directory)
      if (isDirectory(child)) directories.push(child)
    }
    return directories
  }

  placeInode(inode: IndexInode, parent: IndexDirectory): PlacedInode {
    const isExtended = needsExtended(inode, this.#buildTime)
    const xattrs = encodeXattrs(inode)
    const bytes = (isExtended ? extended.bytes : compact.bytes) + xattrs.length
    const names = isDirectory(inode) ? cutDirectory(inode.children.keys()) : undefined
    const placed: PlacedInode = {
      inode,
      parent,
      ...this.#placeRecord(inode, bytes, names),
      serial: this.inodes.length + 1,
      isExtended,
      xattrs,
      names,
    }
    this.inodes.push(placed)
    this.#placed.set(inode, placed)
    return placed
  }

  #placeRecord(inode: IndexInode, bytes: number, names: DirectoryBlocks | undefined): RecordPlace {
    if (names !== undefined) return this.#placeWithTail(bytes, tailOf(names.size))
    if (inode.target !== '') return this.#placeSymlink(bytes, inode.target.length)
    return inode.size === 0 ? this.#placeAlone(bytes) : this.#placeChunked(bytes, inode.size)
  }

  #placeAlone(bytes: number): RecordPlace {
    return { place: this.blocks.addRecord(bytes, slotSize), layout: flatPlain, data: undefined }
  }

  #placeChunked(bytes: number, size: number): RecordPlace {
    const table = chunkCountOf(size) * chunkIndex.bytes
    return { ...this.#placeAlone(align(bytes, chunkIndex.bytes) + table), layout: chunkBased }
  }

  #placeWithTail(bytes: number, tail: number): RecordPlace {
    const place = tail === 0 ? undefined : this.blocks.addWithTail(bytes, tail, slotSize)
    return place === undefined ? this.#placeAlone(bytes) : { place, layout: flatInline, data: undefined }
  }

  #placeSymlink(bytes: number, size: number): RecordPlace {
    const tail = tailOf(size)
    const data = size === tail ? undefined : this.blocks.addData(size - tail)
    const place = tail === 0 ? undefined : this.blocks.addWithTail(bytes, tail, slotSize)
    if (place !== undefined) return this.#ended({ place, layout: flatInline, data })
    if (data !== undefined && tail > 0) this.blocks.addBlock(data)
    const record = this.#placeAlone(bytes)
    return this.#ended({ ...record, data: data ?? this.blocks.addData(blockSize) })
  }

  #ended(record: RecordPlace): RecordPlace {
    if (record.data !== undefined) this.blocks.endData(record.data)
    return record
  }

  /** Places the names of a directory; by then what they lead to has to have places. */
  #placeNames(directory: IndexDirectory): void {
    const placed = this.placeOf(directory)
    const size = placed.names?.size ?? 0
    const tail = tailOf(size)
    let data = size === tail ? undefined : this.blocks.addDirectory(size - tail)
    for (const name of placed.names?.blocks.flat() ?? []) {
      const child = directory.children.get(name)
      if (child !== undefined) this.blocks.place(this.placeOf(child).place.run)
    }
    if (placed.layout === flatPlain && tail > 0) {
      if (data === undefined) data = this.blocks.addDirectory(blockSize)
      else this.blocks.addBlock(data)
    }
    if (data !== undefined) this.blocks.endData(data)
    placed.data = data
  }
}

interface RecordPlace {
  readonly place: Place
  readonly layout: number
  data: Run | undefined
}

/** Says whether an inode is more than a compact one can say. */
function needsExtended({ size, uid, gid, names, mtime }: IndexInode, buildTime: number): boolean {
  return size > 0xffffffff || uid > 0xffff || gid > 0xffff || names > 0xffff || mtime !== buildTime
}
