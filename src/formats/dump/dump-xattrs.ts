/** Parser of the extended attributes of a line of a dump. */
import type { Xattrs } from '../entry.ts'
import type { FlatTree } from '../flat/flat-tree.ts'
import type { DumpLine } from './dump-line.ts'

const xattrTextMax = 65535
/** mkcomposefs' limit on all xattrs of a file: 7 bytes for each and 12 for their header, names and values included. */
const xattrSumMax = 32767
/**
 * Longest text that is kept: a label or two is shared by thousands of files, so texts up to this length are read once.
 */
const keptMax = 256

export class XattrParser {
  readonly #line: DumpLine
  readonly #tree: FlatTree
  /** Indexes into the tree's sets by their text. */
  readonly #sets = new Map<string, number>()
  /** Text of the line before, which most often is this one's too. */
  #last = Buffer.alloc(0)
  #lastSet = 0

  constructor(line: DumpLine, tree: FlatTree) {
    this.#line = line
    this.#tree = tree
  }

  /** Returns the index of the line's attributes in the tree. */
  parse(): number {
    const place = this.#line.xattrs()
    if (place === undefined) return 0
    const { start, end } = place
    if (end - start > xattrTextMax) throw this.#line.error(start, `more than ${xattrTextMax} bytes of xattrs`, 'LIMIT')
    if (this.#isLast(start, end)) return this.#lastSet
    const text = this.#line.bytes.toString('latin1', start, end)
    let set = this.#sets.get(text)
    if (set === undefined) {
      set = this.#tree.xattrSets.push(this.#readXattrs(text, start)) - 1
      if (text.length < keptMax && this.#sets.size < 4096) this.#sets.set(text, set)
    }
    if (text.length < keptMax) {
      this.#last = Buffer.from(text, 'latin1')
      this.#lastSet = set
    }
    return set
  }

  #isLast(start: number, end: number): boolean {
    const last = this.#last
    const { bytes } = this.#line
    if (last.length === 0 || end - start !== last.length) return false
    for (let i = 0; i < last.length; i++) if (last[i] !== bytes[start + i]) return false
    return true
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
