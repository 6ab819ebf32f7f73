/**
 * Reads an image as the tree that its user sees.
 *
 * Everything in the image is hostile. Directories are visited once and never found twice, so there are no cycles; what the
 * directories, targets and contents of all inodes add up to may not exceed the image, so records that overlap
 * cannot multiply it; the depth is bounded for whoever walks the tree by recursion.
 */
import { OnefoldError } from '../../error.ts'
import { checkEntryType } from '../erofs/entry-type.ts'
import { bad } from '../erofs/erofs-error.ts'
import type { RawInode } from '../erofs/erofs-inode.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased } from '../erofs/erofs-records.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFDIR,
  S_IFMT,
  isDirectory,
  isHardLink,
  namesBelow,
} from '../tree.ts'
import { rsLayoutVersion } from './composefs-header.ts'
import { type ErofsReadOptions, InodeDecoder, asWhiteout } from './inode-decoder.ts'
import { type Move, PrimaryNames, type DirectoryStep } from './primary-names.ts'

/** More levels than a path of the kernel's length can have. */
const depthMax = 4096

/**
 * The tree of a composefs image (mkcomposefs' versions 0 and 1, or composefs-rs' own layout), or of a plain EROFS image with
 * uncompressed data. Attribute values are views of `bytes`.
 * Throws BAD_FORMAT for a damaged or malicious image, UNSUPPORTED for features it does not know, LIMIT for absurd depth.
 */
export function readErofs(bytes: Uint8Array, options: ErofsReadOptions = {}): Directory {
  const image = new ErofsReader(bytes)
  return new TreeBuilder(image, new InodeDecoder(image, options)).build()
}

interface OpenDirectory extends DirectoryStep {
  readonly raw: RawInode
  readonly parent: number
}

class TreeBuilder {
  readonly #image: ErofsReader
  readonly #decoder: InodeDecoder
  readonly #inodes = new Map<number, Inode>()
  /** Inodes that so far were met under names that are not their primary one, with their i_ino. */
  readonly #unplaced = new Map<Inode, number>()
  /** Directories yet to be read, breadth-first. */
  readonly #queue: OpenDirectory[] = []
  /** The empty files that may be whiteouts, and the directories they stand in. */
  readonly #maybeWhiteouts = new Map<Inode, Directory>()
  /** The number that composefs gave to the next inode under its primary name. */
  #nextIno = 1
  readonly #primaryNames: PrimaryNames
  /** Bytes that directories and flat data may still take up. */
  #budget: number
  #stubs = 0

  constructor(image: ErofsReader, decoder: InodeDecoder) {
    this.#image = image
    this.#decoder = decoder
    this.#budget = image.length
    this.#primaryNames = new PrimaryNames(image.length, (inode, directory) => this.#mayStand(inode, directory))
  }

  build(): Directory {
    const raw = this.#image.inode(this.#image.rootNid)
    const root = this.#add(raw)
    if (!isDirectory(root)) throw bad(`the root, inode ${raw.nid}, is no directory`)
    this.#queue.push({ raw, directory: root, parent: raw.nid, above: undefined, name: '', depth: 0 })
    for (let i = 0; i < this.#queue.length; i++) this.#fill(this.#queue[i] as OpenDirectory)
    this.#decoder.checkRoot(raw, root, this.#stubs)
    this.#move(this.#primaryNames.end())
    if (this.#unplaced.size > 0) this.#placeInOrder(root)
    this.#restoreWhiteouts()
    return root
  }

  #fill(open: OpenDirectory): void {
    const { raw, directory } = open
    let dots = 0
    directory.nlink = 2
    this.#image.entries(raw, (name, nid, fileType) => {
      if (name === '.' || name === '..') {
        if (nid !== (name === '.' ? raw.nid : open.parent))
          throw bad(`${name} of directory ${raw.nid} leads to inode ${nid}`)
        dots++
      } else this.#meet(open, name, nid, fileType)
    })
    if (dots !== 2) throw bad(`directory ${raw.nid} lacks its . or ..`)
  }

  #meet(open: OpenDirectory, name: string, nid: number, fileType: number): void {
    let inode = this.#inodes.get(nid)
    if (inode === undefined) {
      const raw = this.#image.inode(nid)
      checkEntryType(nid, raw.mode, fileType)
      if (this.#decoder.isStub(open.raw, name, raw)) {
        this.#stubs++
        this.#nextIno++
        this.#move(this.#primaryNames.end())
        return
      }
      inode = this.#add(raw)
      if (isDirectory(inode)) this.#enter(open, name, raw, inode)
      else this.#unplaced.set(inode, raw.ino)
    } else {
      if (isDirectory(inode)) throw bad(`directory ${nid} has two names`)
      checkEntryType(nid, inode.mode, fileType)
    }
    const isPrimary = isDirectory(inode) || this.#isPrimary(inode)
    open.directory.children.set(name, isPrimary ? inode : { linkTo: inode })
    if (!isPrimary) {
      this.#primaryNames.further(inode, open, name)
    } else {
      this.#place(inode, open.directory)
      if (!isDirectory(inode) && inode.nlink > 1) this.#primaryNames.counted(inode, open, name)
      else this.#move(this.#primaryNames.end())
    }
  }

  /** Whether an inode may stand in a directory: a whiteout stands in one that says it holds some. */
  #mayStand(inode: Inode, directory: Directory): boolean {
    return !this.#maybeWhiteouts.has(inode) || this.#decoder.mayHoldWhiteouts(directory)
  }

  #move(moves: readonly Move[]): void {
    for (const { inode, from, to } of moves) {
      from.step.directory.children.set(from.name, { linkTo: inode })
      to.step.directory.children.set(to.name, inode)
      if (this.#maybeWhiteouts.has(inode)) this.#maybeWhiteouts.set(inode, to.step.directory)
    }
  }

  #enter(open: OpenDirectory, name: string, raw: RawInode, directory: Directory): void {
    const depth = open.depth + 1
    if (depth > depthMax) throw new OnefoldError('LIMIT', `Cannot read EROFS image: more than ${depthMax} levels deep`)
    open.directory.nlink++
    this.#queue.push({ raw, directory, parent: open.raw.nid, above: open, name, depth })
  }

  #add(raw: RawInode): Inode {
    if (raw.layout !== chunkBased) this.#budget -= raw.size
    if (this.#budget < 0) throw bad(`its inodes claim more data than its ${this.#image.length} bytes`)
    const { nid, ...info } = this.#decoder.decode(raw)
    const inode: Inode = { ...info, children: (raw.mode & S_IFMT) === S_IFDIR ? new Map<string, Child>() : undefined }
    this.#inodes.set(nid, inode)
    return inode
  }

  /** Whether an inode is under its primary name: mkcomposefs numbers inodes in the order of these. */
  #isPrimary(inode: Inode): boolean {
    const { version } = this.#decoder
    if (version === undefined || version === rsLayoutVersion) return false
    return this.#unplaced.get(inode) === this.#nextIno
  }

  #place(inode: Inode, directory: Directory): void {
    this.#unplaced.delete(inode)
    this.#nextIno++
    if (this.#decoder.mayBeWhiteout(inode)) this.#maybeWhiteouts.set(inode, directory)
  }

  /** Places the inodes of images with another numbering: the first name in depth-first order is the primary one. */
  #placeInOrder(root: Directory): void {
    for (const { directory, name, child } of namesBelow(root)) {
      if (!isHardLink(child) || !this.#unplaced.has(child.linkTo)) continue
      directory.children.set(name, child.linkTo)
      this.#place(child.linkTo, directory)
    }
  }

  /** Makes whiteouts of files in directories that are marked; marks on any other directory are its user's own. */
  #restoreWhiteouts(): void {
    const holders = new Set<Directory>()
    for (const [inode, directory] of this.#maybeWhiteouts) {
      if (!this.#decoder.mayHoldWhiteouts(directory)) continue
      Object.assign(inode, asWhiteout(inode))
      holders.add(directory)
    }
    for (const directory of holders) directory.xattrs = this.#decoder.withoutWhiteoutMarks(directory.xattrs)
  }
}
