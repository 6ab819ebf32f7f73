/**
 * Reads composefs-dump(5), the text form of a tree: one line per name, parents before children.
 *
 *     PATH SIZE MODE NLINK UID GID RDEV MTIME PAYLOAD CONTENT DIGEST [KEY=VALUE]…
 *
 * Single spaces part the fields; `\\ \n \r \t \xHH` stand for other bytes; a lone `-` means none in the fields PAYLOAD, CONTENT
 * and DIGEST. A mode that begins with `@` is a hard link to the path in PAYLOAD, which may come later. Bytes, not text.
 */
import { type Child, type Directory, S_IFDIR, S_IFMT, isDirectory, isHardLink } from '../tree.ts'
import { nameMax } from '../erofs/records.ts'
import { InodeParser } from './inode.ts'
import { DumpLine, MODE, PATH, PAYLOAD, dumpError } from './line.ts'

export interface DumpOptions {
  /**
   * Take what composefs' own tools take besides the letter of the format: signs, blanks and overflow in numbers, a missing
   * last newline or last fields, doubled slashes, wrong sizes of symlinks, values in fields that mean nothing for the type.
   * Never what they only take by mistake: a DIGEST, GID or RDEV that is none.
   */
  readonly compat?: boolean
  /**
   * With `compat`: the checks that composefs' tools make when `CFS_PARSE_STRICT` is set: a last newline, device numbers for
   * devices only, symlinks whose SIZE is right and that have no CONTENT.
   */
  readonly checks?: boolean
}

/** More levels than a path of the kernel's length can have. */
const depthMax = 4096
/** No line with a path of that depth, content, target and attributes is longer. */
const lineMax = 1 << 21

/** Throws BAD_FORMAT with line and column for what breaks the format, LIMIT for what it or EROFS cannot hold. */
export function parseDump(bytes: Uint8Array, options: DumpOptions = {}): Directory {
  const reader = new DumpReader(options)
  reader.write(bytes)
  return reader.end()
}

/** A hard link whose target has not been looked up yet: parents must precede children, targets need not precede links. */
interface PendingLink {
  readonly directory: Directory
  readonly name: string
  readonly target: string
  readonly line: number
  /** What stands in the directory for the time being. */
  readonly placeholder: Child
  following: boolean
}

/** Reads a dump that comes in chunks of any size. For errors see parseDump. */
export class DumpReader {
  readonly #line: DumpLine
  readonly #inodes: InodeParser
  #root: Directory | undefined
  /** The directory of the line before, and its path as written there: most lines are siblings. */
  #parent: Directory | undefined
  #parentPath = Buffer.alloc(0)
  /** Links to be resolved, by what stands for them in the tree. */
  readonly #pending = new Map<Child, PendingLink>()
  /** The beginning of a line whose end has not come yet. */
  #rest: Buffer | undefined

  constructor(options: DumpOptions = {}) {
    this.#line = new DumpLine(options.compat ?? false, options.checks ?? false)
    this.#inodes = new InodeParser(this.#line)
  }

  write(chunk: Uint8Array): void {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    if (this.#rest !== undefined) bytes = Buffer.concat([this.#rest, bytes])
    let at = 0
    for (let end = bytes.indexOf(0x0a); end >= 0; end = bytes.indexOf(0x0a, at)) {
      this.#parseLine(bytes, at, end)
      at = end + 1
    }
    this.#rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : undefined
    if (this.#rest !== undefined && this.#rest.length > lineMax)
      throw this.#nextLineError(1, `a line of more than ${lineMax} bytes`)
  }

  /** The tree of all lines. */
  end(): Directory {
    if (this.#rest !== undefined) {
      if (this.#line.checked) throw this.#nextLineError(this.#rest.length + 1, 'the last line has no newline')
      this.#parseLine(this.#rest, 0, this.#rest.length)
    }
    if (this.#root === undefined) throw dumpError(1, 1, 'nothing; expected a line for "/"')
    for (const link of this.#pending.values()) this.#resolve(link, this.#root)
    return this.#root
  }

  #nextLineError(column: number, what: string): Error {
    return dumpError(this.#line.number + 1, column, what)
  }

  #parseLine(bytes: Buffer, start: number, end: number): void {
    const line = this.#line
    line.next(bytes, start, end)
    const isLink = bytes[line.start(MODE)] === 0x40
    const mode = this.#inodes.mode(isLink ? 1 : 0)
    if (this.#root === undefined) this.#root = this.#parseRoot(mode, isLink)
    else this.#parseChild(this.#root, mode, isLink)
  }

  #parseRoot(mode: number, isLink: boolean): Directory {
    if (this.#line.text(PATH) !== '/') throw this.#line.fieldError(PATH, 'expected "/" on the first line')
    const root = this.#inodes.parse(mode)
    if (isLink || !isDirectory(root)) throw this.#line.fieldError(MODE, 'expected the root to be a directory')
    return root
  }

  #parseChild(root: Directory, mode: number, isLink: boolean): void {
    const slash = this.#lastSlash()
    const directory = this.#parentOf(root, slash)
    const name = this.#line.name(PATH, slash + 1)
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.length > nameMax)
      throw this.#line.fieldError(PATH, `expected a name of 1 to ${nameMax} bytes, neither "." nor ".."`)
    if (directory.children.has(name)) throw this.#line.fieldError(PATH, 'the name is there already')
    const child = isLink ? this.#pendingLink(directory, name, mode) : this.#inodes.parse(mode)
    directory.children.set(name, child)
    if (isDirectory(child)) directory.nlink++
  }

  #lastSlash(): number {
    const { bytes } = this.#line
    const start = this.#line.start(PATH)
    if (bytes[start] !== 0x2f) throw this.#line.fieldError(PATH, 'expected a path that begins with "/"')
    let slash = this.#line.end(PATH) - 1
    while (bytes[slash] !== 0x2f) slash--
    return slash
  }

  #parentOf(root: Directory, slash: number): Directory {
    const start = this.#line.start(PATH)
    if (this.#parent !== undefined && this.#isParentPath(start, slash)) return this.#parent
    const path = this.#line.name(PATH, start, slash)
    if (!this.#line.compat && `${path}/`.includes('//')) throw this.#line.fieldError(PATH, 'a doubled slash')
    const found = this.#walk(root, path)
    if (found === undefined || !isDirectory(found))
      throw this.#line.fieldError(PATH, 'expected its parent to be there already, as a directory')
    this.#parent = found
    this.#parentPath = Buffer.from(this.#line.bytes.subarray(start, slash))
    return found
  }

  /** Compared from the end: paths begin alike. */
  #isParentPath(start: number, end: number): boolean {
    const path = this.#parentPath
    if (path.length !== end - start) return false
    const { bytes } = this.#line
    for (let i = path.length - 1; i >= 0; i--) if (path[i] !== bytes[start + i]) return false
    return true
  }

  #walk(root: Directory, path: string): Child | undefined {
    let at: Child | undefined = root
    let depth = 0
    for (const name of path.split('/')) {
      if (name === '') continue
      if (++depth > depthMax) throw dumpError(this.#line.number, 1, `more than ${depthMax} levels deep`, 'LIMIT')
      if (at === undefined || !isDirectory(at)) return undefined
      at = at.children.get(name)
    }
    return at
  }

  #pendingLink(directory: Directory, name: string, mode: number): Child {
    const line = this.#line
    if ((mode & S_IFMT) === S_IFDIR) throw line.fieldError(MODE, 'a directory cannot be a hard link')
    const target = line.isUnset(PAYLOAD) ? '' : line.name(PAYLOAD)
    if (target === '') throw line.fieldError(PAYLOAD, 'expected the path of the target')
    // Nothing reads where it leads: it is replaced before anyone sees the tree.
    const placeholder: Child = { linkTo: directory }
    this.#pending.set(placeholder, { directory, name, target, line: line.number, placeholder, following: false })
    return placeholder
  }

  /** Follows links to links along a list of its own: a hostile dump may chain as many as it has lines. */
  #resolve(link: PendingLink, root: Directory): void {
    const chain: PendingLink[] = []
    let target: Child = link.placeholder
    for (let next: PendingLink | undefined = link; next !== undefined; next = this.#pending.get(target)) {
      if (next.following) throw dumpError(next.line, 1, 'a hard link that leads to itself')
      next.following = true
      chain.push(next)
      const found = this.#walk(root, next.target)
      if (found === undefined || isDirectory(found)) {
        const path = JSON.stringify(next.target.slice(0, 300))
        throw dumpError(next.line, 1, `the hard link's target ${path} is no file of the dump`)
      }
      target = found
    }
    const linkTo = isHardLink(target) ? target.linkTo : target
    for (const { directory, name, placeholder } of chain) {
      directory.children.set(name, { linkTo })
      this.#pending.delete(placeholder)
    }
  }
}
