/**
 * Reads composefs-dump(5), the text form of a tree: one line per name, parents before children.
 *
 *     PATH SIZE MODE NLINK UID GID RDEV MTIME PAYLOAD CONTENT DIGEST [KEY=VALUE]…
 *
 * Single spaces part the fields; `\\ \n \r \t \xHH` stand for other bytes; a lone `-` means none in the fields PAYLOAD, CONTENT
 * and DIGEST. A mode that begins with `@` is a hard link to the path in PAYLOAD, which may come later. Bytes, not text.
 */
import type { VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import {
  type Child,
  type Directory,
  type Inode,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  isDirectory,
  isHardLink,
} from '../../image/tree.ts'
import { type Content, type Xattrs, noContent, noXattrs } from '../entry.ts'
import { fileTypes, inlineContentMax, nameMax, targetMax } from '../erofs/records.ts'
import { type NumberField, parseNumber } from './number.ts'

export interface DumpOptions {
  /**
   * Take what composefs' own tools take besides the letter of the format: signs, blanks and overflow in numbers, a missing
   * last newline or last fields, doubled slashes, wrong sizes of symlinks, values in fields that mean nothing for the type.
   * Never what they only take by mistake: a DIGEST, GID or RDEV that is none.
   */
  readonly compat?: boolean
}

const fieldNames = [
  'PATH',
  'SIZE',
  'MODE',
  'NLINK',
  'UID',
  'GID',
  'RDEV',
  'MTIME',
  'PAYLOAD',
  'CONTENT',
  'DIGEST',
] as const
const fieldCount = fieldNames.length
const [PATH, SIZE, MODE, NLINK, UID, GID, RDEV, MTIME, PAYLOAD, CONTENT, DIGEST] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]

const xattrTextMax = 65535
/** mkcomposefs' limit on all xattrs of a file: 7 bytes for each and 12 for their header, names and values included. */
const xattrSumMax = 32767
const sizeMax = 2 ** 53
/** More levels than a path of the kernel's length can have. */
const depthMax = 4096

/** Throws BAD_FORMAT with line and column for what breaks the format, LIMIT for what it or EROFS cannot hold. */
export function parseDump(bytes: Uint8Array, options: DumpOptions = {}): Directory {
  return new DumpParser(bytes, options.compat ?? false).parse()
}

/** A hard link whose target has not been looked up yet: parents must precede children, targets need not precede links. */
interface PendingLink {
  readonly directory: Directory
  readonly name: string
  readonly target: string
  readonly line: number
  readonly lineStart: number
  /** What stands in the directory for the time being. */
  readonly placeholder: Child
  following: boolean
}

class DumpParser {
  readonly #bytes: Buffer
  readonly #compat: boolean
  readonly #starts = new Int32Array(fieldCount)
  readonly #ends = new Int32Array(fieldCount)
  #line = 0
  #lineStart = 0
  #lineEnd = 0
  #root: Directory | undefined
  /** The directory of the line before, and its path as written there: most lines are siblings. */
  #parent: Directory | undefined
  #parentStart = 0
  #parentEnd = 0
  readonly #pending = new Map<Child, PendingLink>()
  /** Attributes by their text: a label or two is shared by thousands of files. */
  readonly #xattrs = new Map<string, Xattrs>()

  constructor(bytes: Uint8Array, compat: boolean) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#compat = compat
  }

  parse(): Directory {
    for (let at = 0; at < this.#bytes.length; at = this.#lineEnd + 1) {
      this.#startLine(at)
      this.#splitFields()
      this.#parseLine()
    }
    if (this.#root === undefined) throw this.#error(0, 'the dump is empty; expected a line for "/"')
    this.#resolveLinks()
    return this.#root
  }

  #startLine(at: number): void {
    const newline = this.#bytes.indexOf(0x0a, at)
    this.#line++
    this.#lineStart = at
    this.#lineEnd = newline < 0 ? this.#bytes.length : newline
    if (newline < 0 && !this.#compat) throw this.#error(this.#lineEnd, 'the last line has no newline')
  }

  #splitFields(): void {
    const bytes = this.#bytes
    let at = this.#lineStart
    for (let field = 0; field < fieldCount; field++) {
      this.#starts[field] = at
      while (at < this.#lineEnd && bytes[at] !== 0x20) {
        if (bytes[at] === 0) throw this.#error(at, 'a zero byte')
        at++
      }
      this.#ends[field] = at
      const mayBeEmpty = this.#compat && field >= PAYLOAD
      if (at === this.#starts[field] && !mayBeEmpty) throw this.#error(at, `no ${fieldNames[field]}`)
      if (at < this.#lineEnd) at++
      else if (field < fieldCount - 1 && !(this.#compat && field + 1 >= PAYLOAD))
        throw this.#error(at, `${field + 1} fields; expected ${fieldCount}`)
    }
  }

  #parseLine(): void {
    const hardlink = this.#bytes[this.#start(MODE)] === 0x40
    const mode = this.#mode(hardlink)
    if (this.#root === undefined) {
      this.#parseRoot(mode, hardlink)
      return
    }
    const slash = this.#lastSlash()
    const directory = this.#parentOf(slash)
    const name = this.#name(slash)
    if (directory.children.has(name)) throw this.#fieldError(PATH, 'the name is there already')
    if (hardlink) directory.children.set(name, this.#pendingLink(directory, name, mode))
    else {
      const inode = this.#inode(mode)
      directory.children.set(name, inode)
      if (isDirectory(inode)) directory.nlink++
    }
  }

  #parseRoot(mode: number, hardlink: boolean): void {
    if (this.#text(PATH) !== '/') throw this.#fieldError(PATH, 'expected "/" on the first line')
    const root = this.#inode(mode)
    if (hardlink || !isDirectory(root)) throw this.#fieldError(MODE, 'expected the root to be a directory')
    this.#root = root
  }

  #mode(hardlink: boolean): number {
    const mode = this.#numberBetween(MODE, this.#start(MODE) + (hardlink ? 1 : 0), this.#end(MODE), 'octal')
    if (fileTypes[(mode & S_IFMT) >> 12] === undefined) throw this.#fieldError(MODE, 'expected the bits of a file type')
    if (!this.#compat && mode > 0o177777) throw this.#fieldError(MODE, 'expected no more than type and permission bits')
    return mode & 0xffff
  }

  #lastSlash(): number {
    const start = this.#start(PATH)
    if (this.#bytes[start] !== 0x2f) throw this.#fieldError(PATH, 'expected a path that begins with "/"')
    let slash = this.#end(PATH) - 1
    while (this.#bytes[slash] !== 0x2f) slash--
    return slash
  }

  #name(slash: number): string {
    const name = this.#cut(this.#unescape(slash + 1, this.#end(PATH)), PATH)
    if (name === '' || name === '.' || name === '..' || name.includes('/') || name.length > nameMax)
      throw this.#fieldError(PATH, `expected a name of 1 to ${nameMax} bytes, neither "." nor ".."`)
    return name
  }

  #parentOf(slash: number): Directory {
    const start = this.#start(PATH)
    if (this.#parent !== undefined && this.#isSame(this.#parentStart, this.#parentEnd, start, slash))
      return this.#parent
    const parent = this.#findParent(start, slash)
    this.#parent = parent
    this.#parentStart = start
    this.#parentEnd = slash
    return parent
  }

  /** From the end: paths begin alike. */
  #isSame(start: number, end: number, otherStart: number, otherEnd: number): boolean {
    if (end - start !== otherEnd - otherStart) return false
    for (let at = end - 1, other = otherEnd - 1; at >= start; at--, other--)
      if (this.#bytes[at] !== this.#bytes[other]) return false
    return true
  }

  #findParent(start: number, slash: number): Directory {
    const path = this.#cut(this.#unescape(start, slash), PATH)
    if (!this.#compat && `${path}/`.includes('//')) throw this.#fieldError(PATH, 'a doubled slash')
    const found = this.#walk(path, PATH)
    if (found === undefined || !isDirectory(found))
      throw this.#fieldError(PATH, 'expected its parent to be there already, as a directory')
    return found
  }

  #walk(path: string, field: number): Child | undefined {
    let at: Child | undefined = this.#root
    let depth = 0
    for (const name of path.split('/')) {
      if (name === '') continue
      if (++depth > depthMax) throw this.#fieldError(field, `more than ${depthMax} levels deep`, 'LIMIT')
      if (at === undefined || !isDirectory(at)) return undefined
      at = at.children.get(name)
    }
    return at
  }

  #inode(mode: number): Inode {
    const type = mode & S_IFMT
    const size = this.#number(SIZE, 'size')
    const dot = this.#mtimeDot()
    return {
      mode,
      uid: this.#number(UID, 'id'),
      gid: this.#number(GID, 'id'),
      mtime: this.#numberBetween(MTIME, this.#start(MTIME), dot, 'seconds'),
      mtimeNsec: this.#numberBetween(MTIME, dot + 1, this.#end(MTIME), 'nanoseconds'),
      rdev: this.#rdev(type),
      nlink: type === S_IFDIR ? 2 : this.#number(NLINK, 'id'),
      xattrs: this.#parseXattrs(),
      content: type === S_IFREG ? this.#content(size) : this.#noContent(type, size),
      target: type === S_IFLNK ? this.#target(size) : '',
      children: type === S_IFDIR ? new Map<string, Child>() : undefined,
    }
  }

  #rdev(type: number): number {
    const rdev = this.#number(RDEV, 'id')
    if (type === S_IFCHR || type === S_IFBLK) return rdev
    if (rdev !== 0 && !this.#compat) throw this.#fieldError(RDEV, 'expected 0 for what is no device')
    return 0
  }

  /** Where the dot of MTIME stands. */
  #mtimeDot(): number {
    const dot = this.#bytes.indexOf(0x2e, this.#start(MTIME))
    if (dot < 0 || dot >= this.#end(MTIME)) throw this.#fieldError(MTIME, 'expected seconds, a dot, and nanoseconds')
    return dot
  }

  #content(size: number): Content {
    if (!this.#isUnset(CONTENT)) return this.#inline(size)
    if (size === 0) return noContent
    if (size > sizeMax) throw this.#fieldError(SIZE, `more than ${sizeMax} bytes`, 'LIMIT')
    if (this.#isOwnPath()) return { kind: 'object', digest: this.#text(DIGEST) as VerityDigest, size }
    const path = this.#isUnset(PAYLOAD) ? '' : this.#path()
    if (this.#isUnset(DIGEST)) return path === '' ? { kind: 'unknown', size } : { kind: 'unknown', size, path }
    const digest = this.#digest()
    return path === `${digest.slice(0, 2)}/${digest.slice(2)}`
      ? { kind: 'object', digest, size }
      : { kind: 'object', digest, size, path }
  }

  /** Whether DIGEST is 64 lower-case hex digits and PAYLOAD the same with a slash after the second, as it nearly always is. */
  #isOwnPath(): boolean {
    const bytes = this.#bytes
    const path = this.#start(PAYLOAD)
    const digest = this.#start(DIGEST)
    if (this.#end(PAYLOAD) - path !== 65 || this.#end(DIGEST) - digest !== 64 || bytes[path + 2] !== 0x2f) return false
    for (let i = 0; i < 64; i++) {
      const char = bytes[digest + i] as number
      const isHex = (char >= 0x30 && char <= 0x39) || (char >= 0x61 && char <= 0x66)
      if (!isHex || bytes[path + i + (i < 2 ? 0 : 1)] !== char) return false
    }
    return true
  }

  #inline(size: number): Content {
    const text = this.#unescape(this.#start(CONTENT), this.#end(CONTENT))
    if (text.length > inlineContentMax) throw this.#fieldError(CONTENT, `more than ${inlineContentMax} bytes`, 'LIMIT')
    if (text.length !== size) throw this.#fieldError(CONTENT, `${text.length} bytes; SIZE says ${size}`)
    return size === 0 ? noContent : { kind: 'inline', bytes: Buffer.from(text, 'latin1') }
  }

  #path(): string {
    const path = this.#cut(this.#unescape(this.#start(PAYLOAD), this.#end(PAYLOAD)), PAYLOAD)
    if (!this.#compat && path.split('/').some((name) => name === '' || name === '.' || name === '..'))
      throw this.#fieldError(PAYLOAD, 'expected a relative path without empty parts, "." or ".."')
    return path
  }

  #digest(): VerityDigest {
    const text = this.#text(DIGEST)
    const digest = this.#compat ? text.toLowerCase() : text
    if (!/^[0-9a-f]{64}$/.test(digest)) throw this.#fieldError(DIGEST, 'expected 64 lower-case hex digits')
    return digest as VerityDigest
  }

  /** A size that means nothing is kept where it changes the image: mkcomposefs gives such a device the larger inode. */
  #noContent(type: number, size: number): Content {
    if (type === S_IFDIR || type === S_IFLNK) {
      if (!this.#compat) this.#expectUnset(type === S_IFDIR ? [PAYLOAD, CONTENT, DIGEST] : [CONTENT, DIGEST])
      return noContent
    }
    if (!this.#compat) {
      this.#expectUnset([PAYLOAD, CONTENT, DIGEST])
      if (size !== 0) throw this.#fieldError(SIZE, 'expected 0 for what has no content')
    }
    return size > 0xffffffff ? { kind: 'unknown', size } : noContent
  }

  #expectUnset(fields: readonly number[]): void {
    for (const field of fields)
      if (!this.#isUnset(field)) throw this.#fieldError(field, 'expected "-" for this type of file')
  }

  #target(size: number): string {
    const target = this.#isUnset(PAYLOAD)
      ? ''
      : this.#cut(this.#unescape(this.#start(PAYLOAD), this.#end(PAYLOAD)), PAYLOAD)
    if (target === '' || target.length > targetMax)
      throw this.#fieldError(PAYLOAD, `expected a symlink target of 1 to ${targetMax} bytes`)
    if (!this.#compat && size !== target.length)
      throw this.#fieldError(SIZE, `${size}; the symlink's target has ${target.length} bytes`)
    return target
  }

  #parseXattrs(): Xattrs {
    const start = this.#end(DIGEST) + 1
    if (start > this.#lineEnd) return noXattrs
    if (this.#lineEnd - start > xattrTextMax)
      throw this.#error(start, `more than ${xattrTextMax} bytes of xattrs`, 'LIMIT')
    const text = this.#bytes.toString('latin1', start, this.#lineEnd)
    let xattrs = this.#xattrs.get(text)
    if (xattrs === undefined) {
      xattrs = this.#readXattrs(text, start)
      if (text.length < 256 && this.#xattrs.size < 4096) this.#xattrs.set(text, xattrs)
    }
    return xattrs
  }

  #readXattrs(text: string, start: number): Xattrs {
    const xattrs = new Map<string, Uint8Array>()
    let at = start
    for (const pair of text.split(' ')) {
      const equals = pair.indexOf('=')
      if (equals < 0) throw this.#error(at, 'expected KEY=VALUE')
      const key = this.#cut(this.#unescapeText(pair.slice(0, equals), at), DIGEST)
      if (key === '' || key.length > 255) throw this.#error(at, 'expected an xattr name of 1 to 255 bytes')
      xattrs.set(key, Buffer.from(this.#unescapeText(pair.slice(equals + 1), at + equals + 1), 'latin1'))
      at += pair.length + 1
    }
    let sum = 12
    for (const [key, value] of xattrs) sum += 7 + key.length + value.length
    if (sum > xattrSumMax)
      throw this.#error(start, `${sum} bytes of xattrs, at most ${xattrSumMax} are possible`, 'LIMIT')
    return xattrs
  }

  #pendingLink(directory: Directory, name: string, mode: number): Child {
    if ((mode & S_IFMT) === S_IFDIR) throw this.#fieldError(MODE, 'a directory cannot be a hard link')
    const target = this.#cut(this.#unescape(this.#start(PAYLOAD), this.#end(PAYLOAD)), PAYLOAD)
    if (this.#isUnset(PAYLOAD) || target === '') throw this.#fieldError(PAYLOAD, 'expected the path of the target')
    // Nothing reads this inode: it is replaced before anyone sees the tree.
    const placeholder: Child = { linkTo: this.#root as Inode }
    const { line, lineStart } = { line: this.#line, lineStart: this.#lineStart }
    this.#pending.set(placeholder, { directory, name, target, line, lineStart, placeholder, following: false })
    return placeholder
  }

  #resolveLinks(): void {
    for (const link of this.#pending.values()) this.#resolve(link)
  }

  /** Follows links to links along a list of its own: a hostile dump may chain as many as it has lines. */
  #resolve(link: PendingLink): void {
    const chain: PendingLink[] = []
    let next: PendingLink | undefined = link
    let found: Child | undefined
    while (next !== undefined) {
      this.#line = next.line
      this.#lineStart = next.lineStart
      if (next.following) throw this.#error(next.lineStart, 'a hard link that leads to itself')
      next.following = true
      chain.push(next)
      found = this.#walk(next.target, PAYLOAD)
      if (found === undefined || isDirectory(found))
        throw this.#error(
          next.lineStart,
          `the hard link's target ${JSON.stringify(next.target.slice(0, 300))} is no file of the dump`,
        )
      next = isHardLink(found) ? this.#pending.get(found) : undefined
    }
    if (found === undefined) return
    const target = isHardLink(found) ? found.linkTo : found
    for (const { directory, name, placeholder } of chain) {
      directory.children.set(name, { linkTo: target })
      this.#pending.delete(placeholder)
    }
  }

  #number(field: number, kind: NumberField): number {
    return this.#numberBetween(field, this.#start(field), this.#end(field), kind)
  }

  /** So many digits fit the field; whatever is longer or something else is looked at with care. */
  #numberBetween(field: number, start: number, end: number, kind: NumberField): number {
    if (end > start && end - start <= (kind === 'size' || kind === 'seconds' ? 15 : 9)) {
      const radix = kind === 'octal' ? 8 : 10
      let value = 0
      let at = start
      for (; at < end; at++) {
        const digit = (this.#bytes[at] as number) - 0x30
        if (digit < 0 || digit >= radix) break
        value = value * radix + digit
      }
      if (at === end) return value
    }
    const text = this.#bytes.toString('latin1', start, end)
    const value = parseNumber(text, kind, this.#compat)
    if (value === undefined)
      throw this.#fieldError(field, `${JSON.stringify(text.slice(0, 40))} is no number that fits`)
    return value
  }

  #start(field: number): number {
    return this.#starts[field] as number
  }

  #end(field: number): number {
    return this.#ends[field] as number
  }

  #isUnset(field: number): boolean {
    const start = this.#start(field)
    return this.#end(field) === start + 1 && this.#bytes[start] === 0x2d
  }

  #text(field: number): string {
    return this.#bytes.toString('latin1', this.#start(field), this.#end(field))
  }

  #unescape(start: number, end: number): string {
    return this.#unescapeText(this.#bytes.toString('latin1', start, end), start)
  }

  #unescapeText(text: string, start: number): string {
    let backslash = text.indexOf('\\')
    if (backslash < 0) return text
    let plain = ''
    let at = 0
    for (; backslash >= 0; backslash = text.indexOf('\\', at)) {
      const escape = /^\\(?:([\\nrt])|x([0-9a-fA-F]{2}))/.exec(text.slice(backslash, backslash + 4))
      if (escape === null) throw this.#error(start + backslash, 'expected \\\\, \\n, \\r, \\t or \\xHH')
      const [whole, letter, hex] = escape
      plain += text.slice(at, backslash)
      plain += letter === undefined ? String.fromCharCode(parseInt(hex ?? '', 16)) : unescaped[letter]
      at = backslash + whole.length
    }
    return plain + text.slice(at)
  }

  /** composefs' tools end a name at a zero byte; there is no honest use for one. */
  #cut(text: string, field: number): string {
    const zero = text.indexOf('\0')
    if (zero < 0) return text
    if (!this.#compat) throw this.#fieldError(field, 'an escaped zero byte')
    return text.slice(0, zero)
  }

  #fieldError(field: number, what: string, code: 'BAD_FORMAT' | 'LIMIT' = 'BAD_FORMAT'): OnefoldError {
    return this.#error(this.#start(field), `${fieldNames[field]}: ${what}`, code)
  }

  #error(at: number, what: string, code: 'BAD_FORMAT' | 'LIMIT' = 'BAD_FORMAT'): OnefoldError {
    return new OnefoldError(code, `Cannot read dump, line ${this.#line}, column ${at - this.#lineStart + 1}: ${what}`)
  }
}

const unescaped: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r', t: '\t' }
