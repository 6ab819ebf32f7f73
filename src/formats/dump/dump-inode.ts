/** Parser of the inode that a line of a dump describes. */
import {
  type FlatTree,
  digestAt,
  field,
  floatField,
  inodeBytes,
  inodeFloats,
  inodeWords,
  kind,
} from '../flat/flat-tree.ts'
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { inlineContentMax } from '../composefs/composefs-header.ts'
import { fileTypes, targetMax } from '../erofs/erofs-records.ts'
import { CONTENT, DIGEST, type DumpLine, GID, MODE, MTIME, NLINK, PAYLOAD, RDEV, SIZE, UID } from './dump-line.ts'
import { XattrParser } from './dump-xattrs.ts'

const sizeMax = 2 ** 53

export class InodeParser {
  readonly #line: DumpLine
  readonly #tree: FlatTree
  readonly #xattrs: XattrParser

  constructor(line: DumpLine, tree: FlatTree) {
    this.#line = line
    this.#tree = tree
    this.#xattrs = new XattrParser(line, tree)
  }

  /** Parses the mode, behind the `@` that marks a hard link. */
  mode(skip: number): number {
    const line = this.#line
    const mode = line.integerBetween(MODE, line.start(MODE) + skip, line.end(MODE), 'octal')
    if (fileTypes[(mode & S_IFMT) >> 12] === undefined) throw line.fieldError(MODE, 'expected the bits of a file type')
    if (!line.compat && mode > 0o177777) throw line.fieldError(MODE, 'expected no more than type and permission bits')
    return mode & 0xffff
  }

  /** Adds the inode to the tree and returns its id. */
  parse(mode: number): number {
    const line = this.#line
    const tree = this.#tree
    const type = mode & S_IFMT
    const size = line.integer(SIZE, 'size')
    const id = tree.addInode()
    const { words, floats } = tree
    const at = id * inodeWords
    const dot = this.#mtimeDot()
    words[at + field.mode] = mode
    words[at + field.nlink] = type === S_IFDIR ? 2 : line.integer(NLINK, 'id')
    words[at + field.uid] = line.integer(UID, 'id')
    words[at + field.gid] = line.integer(GID, 'id')
    words[at + field.rdev] = this.#rdev(type)
    words[at + field.mtimeNsec] = line.integerBetween(MTIME, dot + 1, line.end(MTIME), 'nanoseconds')
    floats[id * inodeFloats + floatField.mtime] = line.integerBetween(MTIME, line.start(MTIME), dot, 'seconds')
    words[at + field.xattrs] = this.#xattrs.parse()
    if (type === S_IFREG) this.#content(id, size)
    else if (type === S_IFLNK) this.#target(id, size)
    else this.#noContent(id, type, size)
    return id
  }

  #mtimeDot(): number {
    const line = this.#line
    const dot = line.bytes.indexOf(0x2e, line.start(MTIME))
    if (dot < 0 || dot >= line.end(MTIME)) throw line.fieldError(MTIME, 'expected seconds, a dot, and nanoseconds')
    return dot
  }

  #rdev(type: number): number {
    const rdev = this.#line.integer(RDEV, 'id')
    if (type === S_IFCHR || type === S_IFBLK) return rdev
    if (rdev !== 0 && this.#line.checked) throw this.#line.fieldError(RDEV, 'expected 0 for what is no device')
    return 0
  }

  #content(id: number, size: number): void {
    const line = this.#line
    if (!line.isUnset(CONTENT)) return this.#inline(id, size)
    if (size === 0) return
    if (size > sizeMax) throw line.fieldError(SIZE, `more than ${sizeMax} bytes`, 'LIMIT')
    const at = id * inodeWords
    this.#tree.floats[id * inodeFloats + floatField.size] = size
    if (line.isUnset(DIGEST)) {
      this.#tree.words[at + field.kind] = kind.unknown
      if (!line.isUnset(PAYLOAD)) this.#tree.setText(id, this.#path())
    } else {
      this.#digest(id)
      if (this.#isOwnPath()) this.#tree.words[at + field.kind] = kind.object
      else {
        this.#tree.words[at + field.kind] = kind.foreign
        if (!line.isUnset(PAYLOAD)) this.#foreignPath(id)
      }
    }
  }

  #inline(id: number, size: number): void {
    const line = this.#line
    const text = line.content(CONTENT)
    if (text.length > inlineContentMax) throw line.fieldError(CONTENT, `more than ${inlineContentMax} bytes`, 'LIMIT')
    if (text.length !== size) throw line.fieldError(CONTENT, `${text.length} bytes; SIZE says ${size}`)
    if (size === 0) return
    this.#tree.words[id * inodeWords + field.kind] = kind.inline
    this.#tree.floats[id * inodeFloats + floatField.size] = size
    this.#tree.setText(id, text)
  }

  /** Parses the digest, 64 lower-case hex digits, into the inode. */
  #digest(id: number): void {
    const line = this.#line
    const { bytes } = line
    const { bytes: records } = this.#tree
    const start = line.start(DIGEST)
    if (line.end(DIGEST) - start !== 64) throw line.fieldError(DIGEST, 'expected 64 lower-case hex digits')
    const to = id * inodeBytes + digestAt
    let bad = 0
    for (let i = 0; i < 32; i++) {
      const high = nibbles[bytes[start + 2 * i] as number] as number
      const low = nibbles[bytes[start + 2 * i + 1] as number] as number
      bad |= high | low
      records[to + i] = (high << 4) | (low & 15)
    }
    if ((bad & 0x20) !== 0 || ((bad & 0x10) !== 0 && !line.compat))
      throw line.fieldError(DIGEST, 'expected 64 lower-case hex digits')
  }

  /** Tells whether PAYLOAD is DIGEST with a slash after the second digit, as it nearly always is. */
  #isOwnPath(): boolean {
    const { bytes } = this.#line
    const path = this.#line.start(PAYLOAD)
    const digest = this.#line.start(DIGEST)
    if (this.#line.end(PAYLOAD) - path !== 65 || bytes[path + 2] !== 0x2f) return false
    if (bytes[path] !== bytes[digest] || bytes[path + 1] !== bytes[digest + 1]) return false
    for (let i = 2; i < 64; i++) if (bytes[path + i + 1] !== bytes[digest + i]) return false
    return !this.#line.compat || !/[A-F]/.test(this.#line.text(DIGEST))
  }

  /** Stores a path; escapes and upper-case digits may hide that it is the digest's own after all. */
  #foreignPath(id: number): void {
    const path = this.#path()
    const digest = this.#tree.digest(id)
    if (path === `${digest.slice(0, 2)}/${digest.slice(2)}`)
      this.#tree.words[id * inodeWords + field.kind] = kind.object
    else this.#tree.setText(id, path)
  }

  #path(): string {
    const path = this.#line.name(PAYLOAD)
    if (!this.#line.compat && path.split('/').some((name) => name === '' || name === '.' || name === '..'))
      throw this.#line.fieldError(PAYLOAD, 'expected a relative path without empty parts, "." or ".."')
    return path
  }

  /**
   * Checks fields of a file without content. A size that means nothing is kept where it changes the image: mkcomposefs
   * gives such a device the larger inode.
   */
  #noContent(id: number, type: number, size: number): void {
    const line = this.#line
    this.#expectUnset([PAYLOAD, CONTENT, DIGEST])
    if (type === S_IFDIR) return
    if (!line.compat && size !== 0) throw line.fieldError(SIZE, 'expected 0 for what has no content')
    if (size <= 0xffffffff) return
    this.#tree.words[id * inodeWords + field.kind] = kind.unknown
    this.#tree.floats[id * inodeFloats + floatField.size] = size
  }

  #expectUnset(fields: readonly number[]): void {
    if (this.#line.compat) return
    for (const field of fields)
      if (!this.#line.isUnset(field)) throw this.#line.fieldError(field, 'expected "-" for this type of file')
  }

  #target(id: number, size: number): void {
    const line = this.#line
    this.#expectUnset([CONTENT, DIGEST])
    const target = line.isUnset(PAYLOAD) ? '' : line.name(PAYLOAD)
    if (target === '' || target.length > targetMax)
      throw line.fieldError(PAYLOAD, `expected a symlink target of 1 to ${targetMax} bytes`)
    if (line.checked && size !== target.length)
      throw line.fieldError(SIZE, `${size}; the symlink's target has ${target.length} bytes`)
    if (line.checked && !line.isUnset(CONTENT) && line.end(CONTENT) > line.start(CONTENT))
      throw line.fieldError(CONTENT, 'expected "-" for a symlink')
    this.#tree.setText(id, target)
  }
}

/** Value of a hex digit by its byte; 0x10 is added for a capital, 0x20 says that it is none. */
const nibbles = Uint8Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte)
  if (!/[0-9a-fA-F]/.test(char)) return 0x20
  return parseInt(char, 16) | (/[A-F]/.test(char) ? 0x10 : 0)
})
