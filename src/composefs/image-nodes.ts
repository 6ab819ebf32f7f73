import { OnefoldError } from '../error.ts'
import { type ErofsReader, type RawInode, type RawXattr, bad } from '../formats/erofs/read.ts'
import { chunkBased, inlineContentMax } from '../formats/erofs/records.ts'
import {
  escapedPrefix,
  metacopyBytes,
  metacopyHead,
  metacopyName,
  overlayPrefix,
  redirectName,
  whiteoutNames,
  whiteoutsNames,
} from '../formats/erofs/xattrs.ts'
import { unescapedName } from '../formats/erofs/meaning.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../formats/tree.ts'

/**
 * The files of an image one by one, as composefs' own tools see them: a file is itself under the name that comes first,
 * and every empty file that says that it stands for a whiteout is one. Nothing but names is kept in memory.
 *
 * (The tree that `readErofs` gives is the truer one. It knows the primary name of every file and which marks are the
 * user's own, and refuses images that would show something else when they are mounted.)
 */
export interface ImageNode {
  /** Absolute, '' for the root. */
  readonly path: string
  readonly file: ImageFile
  /** The path under which the file was met before. */
  readonly linkTo: string | undefined
}

export interface ImageFile {
  readonly inode: RawInode
  readonly mode: number
  readonly size: number
  readonly rdev: number
  /** The target of a symlink, the place of a file's bytes below the object directory. */
  readonly payload: string | undefined
  readonly content: Uint8Array | undefined
  /** In hex. */
  readonly digest: string | undefined
  readonly xattrs: readonly (readonly [name: string, value: Uint8Array])[]
}

/** More levels than a path of the kernel's length can have. */
const depthMax = 4096

/** Depth-first, in byte order of names. `only`: of the root's entries, those with these names. */
export function* imageNodes(image: ErofsReader, only?: ReadonlySet<string>): Generator<ImageNode> {
  if (image.composefsVersion === undefined) throw bad('it is no composefs image')
  const root = image.inode(image.rootNid)
  const walk = new Walk(image)
  yield { path: '', file: walk.meet(root, ''), linkTo: undefined }
  const stack = [{ path: '', entries: walk.entries(root, only) }]
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const { done, value: entry } = top.entries.next()
    if (done === true) {
      stack.pop()
      continue
    }
    const inode = image.inode(entry.nid)
    if (isStub(inode)) continue
    const path = `${top.path}/${entry.name}`
    const known = walk.known(inode, path)
    yield known ?? { path, file: walk.meet(inode, path), linkTo: undefined }
    if ((inode.mode & S_IFMT) !== S_IFDIR) continue
    if (stack.length > depthMax) throw new OnefoldError('LIMIT', `Cannot read image: more than ${depthMax} levels deep`)
    stack.push({ path, entries: walk.entries(inode, undefined) })
  }
}

interface Entry {
  readonly name: string
  readonly nid: number
}

/** Everything is met once; what the data of all inodes adds up to may not exceed the image, or records overlap. */
class Walk {
  readonly #image: ErofsReader
  /** The paths of files that may be met again, by nid. */
  readonly #paths = new Map<number, string>()
  #budget: number

  constructor(image: ErofsReader) {
    this.#image = image
    this.#budget = image.length
  }

  known(inode: RawInode, path: string): ImageNode | undefined {
    const linkTo = this.#paths.get(inode.nid)
    if (linkTo === undefined) return undefined
    if ((inode.mode & S_IFMT) === S_IFDIR) throw bad(`directory ${inode.nid} has two names`)
    return { path, file: this.#describe(inode), linkTo }
  }

  meet(inode: RawInode, path: string): ImageFile {
    this.#paths.set(inode.nid, path)
    if (inode.layout !== chunkBased) this.#budget -= inode.size
    if (this.#budget < 0) throw bad(`its inodes claim more data than its ${this.#image.length} bytes`)
    return this.#describe(inode)
  }

  entries(directory: RawInode, only: ReadonlySet<string> | undefined): ArrayIterator<Entry> {
    const entries: Entry[] = []
    this.#image.entries(directory, (name, nid) => {
      if (name !== '.' && name !== '..' && (only === undefined || only.has(name))) entries.push({ name, nid })
    })
    return entries.values()
  }

  #describe(inode: RawInode): ImageFile {
    const type = inode.mode & S_IFMT
    const all = this.#image.xattrs(inode)
    // Its own before those it shares with others, which is the order they are found in.
    const stored = [
      ...all.filter(({ shared }) => shared === undefined),
      ...all.filter(({ shared }) => shared !== undefined),
    ]
    const isWhiteout = type === S_IFREG && inode.size === 0 && stored.some(({ name }) => name === escapedWhiteout)
    return {
      inode,
      mode: isWhiteout ? (inode.mode & ~S_IFMT) | S_IFCHR : inode.mode,
      size: inode.size,
      rdev: type === S_IFCHR || type === S_IFBLK ? inode.union : 0,
      payload: type === S_IFLNK ? this.#image.target(inode) : type === S_IFREG ? redirectOf(stored) : undefined,
      content: type === S_IFREG ? this.#content(inode) : undefined,
      digest: type === S_IFREG ? digestOf(stored) : undefined,
      xattrs: stored
        .filter(({ name }) => isShown(name) || (name === escapedWhiteout && !isWhiteout))
        .map(({ name, value }) => [unescapedName(name), value] as const),
    }
  }

  #content(inode: RawInode): Uint8Array | undefined {
    if (inode.layout === chunkBased || inode.size === 0) return undefined
    if (inode.size > inlineContentMax) throw bad(`inode ${inode.nid} has ${inode.size} bytes of content in the image`)
    return Buffer.concat([...this.#image.data(inode)])
  }
}

const [escapedWhiteout] = whiteoutNames
const hiddenMarks: ReadonlySet<string> = new Set([...whiteoutNames, ...whiteoutsNames])

/** Orders to overlayfs and marks of whiteouts are not the user's. */
function isShown(name: string): boolean {
  if (hiddenMarks.has(name)) return false
  return !name.startsWith(overlayPrefix) || name.startsWith(escapedPrefix)
}

/** One of the devices in the root that hide the object directories. */
function isStub(inode: RawInode): boolean {
  return (inode.mode & S_IFMT) === S_IFCHR && inode.union === 0
}

function redirectOf(stored: readonly RawXattr[]): string | undefined {
  const value = stored.find(({ name }) => name === redirectName)?.value
  if (value === undefined) return undefined
  const path = Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')
  return path.length > 1 && path.startsWith('/') ? path.slice(1) : path
}

function digestOf(stored: readonly RawXattr[]): string | undefined {
  const value = stored.find(({ name }) => name === metacopyName)?.value
  return value?.length === metacopyBytes ? Buffer.from(value.subarray(metacopyHead.length)).toString('hex') : undefined
}
