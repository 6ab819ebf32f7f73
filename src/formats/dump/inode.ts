/** The inode that a line of a dump describes. */
import type { VerityDigest } from '../../digest.ts'
import { type Child, type Inode, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from '../tree.ts'
import { type Content, type Xattrs, noContent, noXattrs } from '../entry.ts'
import { fileTypes, inlineContentMax, targetMax } from '../erofs/records.ts'
import { CONTENT, DIGEST, type DumpLine, GID, MODE, MTIME, NLINK, PAYLOAD, RDEV, SIZE, UID } from './line.ts'

const xattrTextMax = 65535
/** mkcomposefs' limit on all xattrs of a file: 7 bytes for each and 12 for their header, names and values included. */
const xattrSumMax = 32767
const sizeMax = 2 ** 53

export class InodeParser {
  readonly #line: DumpLine
  /** Attributes by their text: a label or two is shared by thousands of files. */
  readonly #xattrs = new Map<string, Xattrs>()

  constructor(line: DumpLine) {
    this.#line = line
  }

  /** Without the `@` that marks a hard link. */
  mode(skip: number): number {
    const line = this.#line
    const mode = line.integerBetween(MODE, line.start(MODE) + skip, line.end(MODE), 'octal')
    if (fileTypes[(mode & S_IFMT) >> 12] === undefined) throw line.fieldError(MODE, 'expected the bits of a file type')
    if (!line.compat && mode > 0o177777) throw line.fieldError(MODE, 'expected no more than type and permission bits')
    return mode & 0xffff
  }

  parse(mode: number): Inode {
    const line = this.#line
    const type = mode & S_IFMT
    const size = line.integer(SIZE, 'size')
    const dot = this.#mtimeDot()
    return {
      mode,
      uid: line.integer(UID, 'id'),
      gid: line.integer(GID, 'id'),
      mtime: line.integerBetween(MTIME, line.start(MTIME), dot, 'seconds'),
      mtimeNsec: line.integerBetween(MTIME, dot + 1, line.end(MTIME), 'nanoseconds'),
      rdev: this.#rdev(type),
      nlink: type === S_IFDIR ? 2 : line.integer(NLINK, 'id'),
      xattrs: this.#parseXattrs(),
      content: type === S_IFREG ? this.#content(size) : this.#noContent(type, size),
      target: type === S_IFLNK ? this.#target(size) : '',
      children: type === S_IFDIR ? new Map<string, Child>() : undefined,
    }
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

  #content(size: number): Content {
    const line = this.#line
    if (!line.isUnset(CONTENT)) return this.#inline(size)
    if (size === 0) return noContent
    if (size > sizeMax) throw line.fieldError(SIZE, `more than ${sizeMax} bytes`, 'LIMIT')
    if (this.#isOwnPath()) return { kind: 'object', digest: line.text(DIGEST) as VerityDigest, size }
    const path = line.isUnset(PAYLOAD) ? '' : this.#path()
    if (line.isUnset(DIGEST)) return path === '' ? { kind: 'unknown', size } : { kind: 'unknown', size, path }
    const digest = this.#digest()
    return path === `${digest.slice(0, 2)}/${digest.slice(2)}`
      ? { kind: 'object', digest, size }
      : { kind: 'object', digest, size, path }
  }

  #inline(size: number): Content {
    const line = this.#line
    const text = line.content(CONTENT)
    if (text.length > inlineContentMax) throw line.fieldError(CONTENT, `more than ${inlineContentMax} bytes`, 'LIMIT')
    if (text.length !== size) throw line.fieldError(CONTENT, `${text.length} bytes; SIZE says ${size}`)
    return size === 0 ? noContent : { kind: 'inline', bytes: Buffer.from(text, 'latin1') }
  }

  /** Whether DIGEST is 64 lower-case hex digits and PAYLOAD the same with a slash after the second, as it nearly always is. */
  #isOwnPath(): boolean {
    const { bytes } = this.#line
    const path = this.#line.start(PAYLOAD)
    const digest = this.#line.start(DIGEST)
    if (this.#line.end(PAYLOAD) - path !== 65 || this.#line.end(DIGEST) - digest !== 64) return false
    if (bytes[path + 2] !== 0x2f) return false
    for (let i = 0; i < 64; i++) {
      const char = bytes[digest + i] as number
      const isHex = (char >= 0x30 && char <= 0x39) || (char >= 0x61 && char <= 0x66)
      if (!isHex || bytes[path + i + (i < 2 ? 0 : 1)] !== char) return false
    }
    return true
  }

  #path(): string {
    const path = this.#line.name(PAYLOAD)
    if (!this.#line.compat && path.split('/').some((name) => name === '' || name === '.' || name === '..'))
      throw this.#line.fieldError(PAYLOAD, 'expected a relative path without empty parts, "." or ".."')
    return path
  }

  #digest(): VerityDigest {
    const text = this.#line.text(DIGEST)
    const digest = this.#line.compat ? text.toLowerCase() : text
    if (!/^[0-9a-f]{64}$/.test(digest)) throw this.#line.fieldError(DIGEST, 'expected 64 lower-case hex digits')
    return digest as VerityDigest
  }

  /** A size that means nothing is kept where it changes the image: mkcomposefs gives such a device the larger inode. */
  #noContent(type: number, size: number): Content {
    const line = this.#line
    if (type === S_IFDIR || type === S_IFLNK) {
      this.#expectUnset(type === S_IFDIR ? [PAYLOAD, CONTENT, DIGEST] : [CONTENT, DIGEST])
      return noContent
    }
    this.#expectUnset([PAYLOAD, CONTENT, DIGEST])
    if (!line.compat && size !== 0) throw line.fieldError(SIZE, 'expected 0 for what has no content')
    return size > 0xffffffff ? { kind: 'unknown', size } : noContent
  }

  #expectUnset(fields: readonly number[]): void {
    if (this.#line.compat) return
    for (const field of fields)
      if (!this.#line.isUnset(field)) throw this.#line.fieldError(field, 'expected "-" for this type of file')
  }

  #target(size: number): string {
    const line = this.#line
    const target = line.isUnset(PAYLOAD) ? '' : line.name(PAYLOAD)
    if (target === '' || target.length > targetMax)
      throw line.fieldError(PAYLOAD, `expected a symlink target of 1 to ${targetMax} bytes`)
    if (line.checked && size !== target.length)
      throw line.fieldError(SIZE, `${size}; the symlink's target has ${target.length} bytes`)
    if (line.checked && !line.isUnset(CONTENT) && line.end(CONTENT) > line.start(CONTENT))
      throw line.fieldError(CONTENT, 'expected "-" for a symlink')
    return target
  }

  #parseXattrs(): Xattrs {
    const place = this.#line.xattrs()
    if (place === undefined) return noXattrs
    const { start, end } = place
    if (end - start > xattrTextMax) throw this.#line.error(start, `more than ${xattrTextMax} bytes of xattrs`, 'LIMIT')
    const text = this.#line.bytes.toString('latin1', start, end)
    let xattrs = this.#xattrs.get(text)
    if (xattrs === undefined) {
      xattrs = this.#readXattrs(text, start)
      if (text.length < 256 && this.#xattrs.size < 4096) this.#xattrs.set(text, xattrs)
    }
    return xattrs
  }

  #readXattrs(text: string, start: number): Xattrs {
    const line = this.#line
    const xattrs = new Map<string, Uint8Array>()
    let at = start
    for (const pair of text.split(' ')) {
      const equals = pair.indexOf('=')
      if (equals < 0) throw line.error(at, 'expected KEY=VALUE')
      const key = line.cut(line.unescape(pair.slice(0, equals), at), at)
      if (key === '' || key.length > 255) throw line.error(at, 'expected an xattr name of 1 to 255 bytes')
      xattrs.set(key, Buffer.from(line.unescape(pair.slice(equals + 1), at + equals + 1), 'latin1'))
      at += pair.length + 1
    }
    let sum = 12
    for (const [key, value] of xattrs) sum += 7 + key.length + value.length
    if (sum > xattrSumMax)
      throw line.error(start, `${sum} bytes of xattrs, at most ${xattrSumMax} are possible`, 'LIMIT')
    return xattrs
  }
}
