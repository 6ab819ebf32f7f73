/**
 * Reads composefs-dump(5), the text form of a tree: one line per name, parents before children.
 *
 *     PATH SIZE MODE NLINK UID GID RDEV MTIME PAYLOAD CONTENT DIGEST [KEY=VALUE]…
 *
 * Single spaces part the fields; `\\ \n \r \t \xHH` stand for other bytes; a lone `-` means none in the fields PAYLOAD,
 * CONTENT and DIGEST. A mode that begins with `@` is a hard link to the path in PAYLOAD, which may come later. Bytes,
 * not text.
 */
import { type Children, childrenOf } from '../flat/flat-children.ts'
import { unflatten } from '../flat/flatten.ts'
import { FlatTree } from '../flat/flat-tree.ts'
import { type Directory, S_IFDIR, S_IFMT } from '../tree.ts'
import { nameMax } from '../erofs/erofs-records.ts'
import { InodeParser } from './dump-inode.ts'
import { DumpLine, MODE, PATH, PAYLOAD, dumpError } from './dump-line.ts'
import { PendingLinks } from './dump-links.ts'
import { canonicalPath } from './dump-path.ts'

export interface DumpOptions {
  /**
   * Accepts what composefs' own tools take besides the letter of the format: signs, blanks and overflow in numbers, a
   * missing last newline or last fields, doubled slashes, wrong sizes of symlinks, values in fields that mean nothing
   * for the type. Never accepts what they only take by mistake: a DIGEST, GID or RDEV that is none.
   */
  readonly compat?: boolean
  /**
   * Makes, with `compat`, the checks that composefs' tools make when `CFS_PARSE_STRICT` is set: a last newline, device
   * numbers for devices only, symlinks whose SIZE is right and that have no CONTENT.
   */
  readonly checks?: boolean
}

/** Greatest depth, more than a path of the kernel's length can have. */
const depthMax = 4096
/** Longest line: none with a path of that depth, content, target and attributes is longer. */
const lineMax = 1 << 21

/**
 * Parses a dump. Throws BAD_FORMAT with line and column for what breaks the format, LIMIT for what it or EROFS cannot
 * hold.
 */
export function parseDump(bytes: Uint8Array, options: DumpOptions = {}): Directory {
  const reader = new DumpReader(options)
  reader.write(bytes)
  return unflatten(reader.end().tree)
}

/** Tree of a dump, and the names of its directories in order. */
export interface DumpedTree {
  readonly tree: FlatTree
  readonly children: Children
}

interface KnownDirectory {
  readonly inode: number
  readonly depth: number
}

/** Reads a dump that comes in chunks of any size. For errors see parseDump. */
export class DumpReader {
  readonly #line: DumpLine
  readonly #tree = new FlatTree()
  readonly #inodes: InodeParser
  readonly #links: PendingLinks
  /** Directories by their paths: '' for the root, `/usr`. */
  readonly #directories = new Map<string, KnownDirectory>()
  /** Directory of the line before, and its path as written there: most lines are siblings. */
  #parent: KnownDirectory | undefined
  #parentKey = ''
  #parentPath = Buffer.alloc(0)
  /** Number of the line that each name is on. */
  #lines = new Uint32Array(1024)
  /** Beginning of a line whose end has not come yet. */
  #rest: Buffer | undefined

  constructor(options: DumpOptions = {}) {
    this.#line = new DumpLine(options.compat ?? false, options.checks ?? false)
    this.#inodes = new InodeParser(this.#line, this.#tree)
    this.#links = new PendingLinks(this.#tree)
  }

  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = this.#rest === undefined ? 0 : this.#finishLine(this.#rest, bytes)
    for (let end = bytes.indexOf(0x0a, at); end >= 0; end = bytes.indexOf(0x0a, at)) {
      this.#parseLine(bytes, at, end)
      at = end + 1
    }
    this.#keepRest(bytes.subarray(at))
  }

  /** Finishes a line that began in an earlier chunk; returns where the next one begins. */
  #finishLine(rest: Buffer, bytes: Buffer): number {
    const end = bytes.indexOf(0x0a)
    if (end < 0) return 0
    const line = Buffer.concat([rest, bytes.subarray(0, end)])
    this.#rest = undefined
    this.#parseLine(line, 0, line.length)
    return end + 1
  }

  #keepRest(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#rest = Buffer.concat([this.#rest ?? Buffer.alloc(0), bytes])
    if (this.#rest.length > lineMax) throw this.#nextLineError(1, `a line of more than ${lineMax} bytes`)
  }

  /** Returns the tree of all lines. */
  end(): DumpedTree {
    if (this.#rest !== undefined) {
      if (this.#line.checked) throw this.#nextLineError(this.#rest.length + 1, 'the last line has no newline')
      this.#parseLine(this.#rest, 0, this.#rest.length)
    }
    const tree = this.#tree
    if (tree.inodes === 0) throw dumpError(1, 1, 'nothing; expected a line for "/"')
    const children = childrenOf(tree, (name) => {
      throw dumpError(this.#lines[name] as number, 1, 'PATH: the name is there already')
    })
    this.#links.resolve(children, (path) => this.#directories.get(path)?.inode, this.#lines)
    return { tree, children }
  }

  #nextLineError(column: number, what: string): Error {
    return dumpError(this.#line.number + 1, column, what)
  }

  #parseLine(bytes: Buffer, start: number, end: number): void {
    const line = this.#line
    line.next(bytes, start, end)
    const isLink = bytes[line.start(MODE)] === 0x40
    const mode = this.#inodes.mode(isLink ? 1 : 0)
    if (this.#tree.inodes === 0) this.#parseRoot(mode, isLink)
    else this.#parseChild(mode, isLink)
  }

  #parseRoot(mode: number, isLink: boolean): void {
    if (this.#line.text(PATH) !== '/') throw this.#line.fieldError(PATH, 'expected "/" on the first line')
    const inode = this.#inodes.parse(mode)
    if (isLink || (mode & S_IFMT) !== S_IFDIR) throw this.#line.fieldError(MODE, 'expected the root to be a directory')
    this.#directories.set('', { inode, depth: 0 })
  }

  #parseChild(mode: number, isLink: boolean): void {
    const slash = this.#lastSlash()
    const parent = this.#parentOf(slash)
    const { at, length } = this.#addNameBytes(slash + 1)
    const name = isLink ? this.#addLink(parent, mode, at, length) : this.#addInode(parent, mode, at, length)
    if (name === this.#lines.length) this.#lines = new Uint32Array(this.#lines.buffer.transfer(8 * name))
    this.#lines[name] = this.#line.number
  }

  #lastSlash(): number {
    const { bytes } = this.#line
    const start = this.#line.start(PATH)
    if (bytes[start] !== 0x2f) throw this.#line.fieldError(PATH, 'expected a path that begins with "/"')
    let slash = this.#line.end(PATH) - 1
    while (bytes[slash] !== 0x2f) slash--
    return slash
  }

  /** Puts the name into the heap. */
  #addNameBytes(start: number): { at: number; length: number } {
    const line = this.#line
    const { bytes } = line
    const end = line.end(PATH)
    const isPlain =
      end > start && end - start <= nameMax && bytes[start] !== 0x2e && !includesBackslash(bytes, start, end)
    if (isPlain) return { at: this.#tree.addBytes(bytes, start, end), length: end - start }
    const name = line.name(PATH, start)
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.length > nameMax)
      throw line.fieldError(PATH, `expected a name of 1 to ${nameMax} bytes, neither "." nor ".."`)
    return { at: this.#tree.addText(name), length: name.length }
  }

  #addInode(parent: KnownDirectory, mode: number, at: number, length: number): number {
    const inode = this.#inodes.parse(mode)
    if ((mode & S_IFMT) === S_IFDIR) this.#addDirectory(parent, inode, at, length)
    return this.#tree.addName(parent.inode, inode, at, length)
  }

  #addDirectory(parent: KnownDirectory, inode: number, at: number, length: number): void {
    const depth = parent.depth + 1
    if (depth > depthMax) throw dumpError(this.#line.number, 1, `more than ${depthMax} levels deep`, 'LIMIT')
    const path = `${this.#parentKey}/${this.#tree.heap.toString('latin1', at, at + length)}`
    if (this.#directories.has(path)) throw this.#line.fieldError(PATH, 'the name is there already')
    this.#directories.set(path, { inode, depth })
  }

  #addLink(parent: KnownDirectory, mode: number, at: number, length: number): number {
    const line = this.#line
    if ((mode & S_IFMT) === S_IFDIR) throw line.fieldError(MODE, 'a directory cannot be a hard link')
    const target = line.isUnset(PAYLOAD) ? '' : line.name(PAYLOAD)
    if (target === '') throw line.fieldError(PAYLOAD, 'expected the path of the target')
    return this.#links.add(parent.inode, at, length, target)
  }

  #parentOf(slash: number): KnownDirectory {
    const line = this.#line
    const start = line.start(PATH)
    if (this.#parent !== undefined && this.#isParentPath(start, slash)) return this.#parent
    const path = line.name(PATH, start, slash)
    if (!line.compat && `${path}/`.includes('//')) throw line.fieldError(PATH, 'a doubled slash')
    const key = canonicalPath(path)
    const found = this.#directories.get(key)
    if (found === undefined) throw line.fieldError(PATH, 'expected its parent to be there already, as a directory')
    this.#parent = found
    this.#parentKey = key
    this.#parentPath = Buffer.from(line.bytes.subarray(start, slash))
    return found
  }

  /** Tells whether the path is the parent's. It is compared from the end, since paths begin alike. */
  #isParentPath(start: number, end: number): boolean {
    const path = this.#parentPath
    if (path.length !== end - start) return false
    const { bytes } = this.#line
    for (let i = path.length - 1; i >= 0; i--) if (path[i] !== bytes[start + i]) return false
    return true
  }
}

function includesBackslash(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] === 0x5c) return true
  return false
}
