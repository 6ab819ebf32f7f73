/** One line of a dump: its fields as text, as bytes and as numbers. */
import { OnefoldError } from '../../error.ts'
import { type NumberField, parseNumber } from './dump-number.ts'

const fieldNames = 'PATH SIZE MODE NLINK UID GID RDEV MTIME PAYLOAD CONTENT DIGEST'.split(' ')
export const [PATH, SIZE, MODE, NLINK, UID, GID, RDEV, MTIME, PAYLOAD, CONTENT, DIGEST] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
]
const fieldCount = fieldNames.length

const unescaped: Readonly<Record<string, string>> = { '\\': '\\', n: '\n', r: '\r', t: '\t' }

export class DumpLine {
  readonly compat: boolean
  /** True when the few rules hold that composefs' own tools can be told to check. */
  readonly checked: boolean
  /** Number of the line, counted from 1. */
  number = 0
  bytes: Buffer = Buffer.alloc(0)
  #lineStart = 0
  #lineEnd = 0
  readonly #starts = new Int32Array(fieldCount)
  readonly #ends = new Int32Array(fieldCount)

  constructor(compat: boolean, checks: boolean) {
    this.compat = compat
    this.checked = !compat || checks
  }

  /** Moves on to the line between `start` and `end`, which lacks its newline. */
  next(bytes: Buffer, start: number, end: number): void {
    this.number++
    this.bytes = bytes
    this.#lineStart = start
    this.#lineEnd = end
    let at = start
    for (let field = 0; field < fieldCount; field++) {
      this.#starts[field] = at
      let byte = 0x20
      while (at < end && (byte = bytes[at] as number) > 0x20) at++
      // Few bytes are below the blank.
      while (at < end && byte !== 0x20) {
        if (byte === 0) throw this.error(at, 'a zero byte')
        if (++at < end) byte = bytes[at] as number
      }
      this.#ends[field] = at
      if (at === this.#starts[field] && !(this.compat && field >= PAYLOAD))
        throw this.error(at, `no ${fieldNames[field]}`)
      if (at < end) at++
      else if (field < fieldCount - 1 && !(this.compat && field + 1 >= PAYLOAD))
        throw this.error(at, `${field + 1} fields; expected ${fieldCount}`)
    }
    const zero = at < end ? bytes.subarray(at, end).indexOf(0) : -1
    if (zero >= 0) throw this.error(at + zero, 'a zero byte')
  }

  start(field: number): number {
    return this.#starts[field] as number
  }

  end(field: number): number {
    return this.#ends[field] as number
  }

  /** Returns the range behind the fixed fields; undefined when nothing follows them. */
  xattrs(): { start: number; end: number } | undefined {
    const start = this.end(DIGEST) + 1
    return start > this.#lineEnd ? undefined : { start, end: this.#lineEnd }
  }

  isUnset(field: number): boolean {
    const start = this.start(field)
    return this.end(field) === start + 1 && this.bytes[start] === 0x2d
  }

  /** Returns a field as it stands there. */
  text(field: number): string {
    return this.bytes.toString('latin1', this.start(field), this.end(field))
  }

  /** Returns a field unescaped; content may hold zero bytes. */
  content(field: number): string {
    return this.unescape(this.text(field), this.start(field))
  }

  /**
   * Returns a field unescaped, '' when unset. composefs' tools end a name at a zero byte; there is no honest use for
   * one.
   */
  name(field: number, start = this.start(field), end = this.end(field)): string {
    return this.cut(this.unescape(this.bytes.toString('latin1', start, end), start), start)
  }

  cut(text: string, start: number): string {
    const zero = text.indexOf('\0')
    if (zero < 0) return text
    if (!this.compat) throw this.error(start, 'an escaped zero byte')
    return text.slice(0, zero)
  }

  /** Replaces escapes; `start` is the offset of the text, for the message. */
  unescape(text: string, start: number): string {
    let backslash = text.indexOf('\\')
    if (backslash < 0) return text
    let plain = ''
    let at = 0
    for (; backslash >= 0; backslash = text.indexOf('\\', at)) {
      const escape = /^\\(?:([\\nrt])|x([0-9a-fA-F]{2}))/.exec(text.slice(backslash, backslash + 4))
      if (escape === null) throw this.error(start + backslash, 'expected \\\\, \\n, \\r, \\t or \\xHH')
      const [whole, letter, hex] = escape
      plain += text.slice(at, backslash)
      plain += letter === undefined ? String.fromCharCode(parseInt(hex ?? '', 16)) : unescaped[letter]
      at = backslash + whole.length
    }
    return plain + text.slice(at)
  }

  integer(field: number, kind: NumberField): number {
    return this.integerBetween(field, this.start(field), this.end(field), kind)
  }

  /**
   * Reads a number. Digits that are sure to fit the field are read at once; a longer or another text is looked at with
   * care.
   */
  integerBetween(field: number, start: number, end: number, kind: NumberField): number {
    if (end > start && end - start <= (kind === 'size' || kind === 'seconds' ? 15 : 9)) {
      const radix = kind === 'octal' ? 8 : 10
      let value = 0
      let at = start
      for (; at < end; at++) {
        const digit = (this.bytes[at] as number) - 0x30
        if (digit < 0 || digit >= radix) break
        value = value * radix + digit
      }
      if (at === end) return value
    }
    const text = this.bytes.toString('latin1', start, end)
    const value = parseNumber(text, kind, this.compat)
    if (value === undefined) throw this.fieldError(field, `${JSON.stringify(text.slice(0, 40))} is no number that fits`)
    return value
  }

  fieldError(field: number, what: string, code: 'BAD_FORMAT' | 'LIMIT' = 'BAD_FORMAT'): OnefoldError {
    return this.error(this.start(field), `${fieldNames[field]}: ${what}`, code)
  }

  error(at: number, what: string, code: 'BAD_FORMAT' | 'LIMIT' = 'BAD_FORMAT'): OnefoldError {
    return dumpError(this.number, at - this.#lineStart + 1, what, code)
  }
}

export function dumpError(
  line: number,
  column: number,
  what: string,
  code: 'BAD_FORMAT' | 'LIMIT' = 'BAD_FORMAT',
): OnefoldError {
  return new OnefoldError(code, `Cannot read dump, line ${line}, column ${column}: ${what}`)
}
