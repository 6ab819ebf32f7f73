/** Writer for fields of dump lines as bytes in one buffer: strings for each would be garbage a moment later. */

const [BACKSLASH, ZERO, LOWER_X, MINUS] = [0x5c, 0x30, 0x78, 0x2d]
const digits = Buffer.from('0123456789abcdef', 'latin1')

/** Escape of each byte: 0 as it is, 1 as it is but in xattrs, the letter behind a backslash, or x. */
const escapes = new Uint8Array(256).map((_, byte) => {
  if (byte === BACKSLASH) return BACKSLASH
  if (byte === 0x3d) return 1
  const letter = '\n\r\t'.indexOf(String.fromCharCode(byte))
  if (letter >= 0) return 'nrt'.charCodeAt(letter)
  return byte > 0x20 && byte < 0x7f ? 0 : LOWER_X
})

export class DumpBytes {
  readonly #sink: (bytes: Uint8Array) => void
  #bytes = Buffer.allocUnsafe(1 << 17)
  #end = 0

  /** @param sink takes bytes, which are good until it returns */
  constructor(sink: (bytes: Uint8Array) => void) {
    this.#sink = sink
  }

  flush(): void {
    if (this.#end > 0) this.#sink(this.#bytes.subarray(0, this.#end))
    this.#end = 0
  }

  byte(byte: number): void {
    this.#need(1)
    this.#bytes[this.#end++] = byte
  }

  /** Writes a text as it is, one char per byte. */
  text(text: string): void {
    this.#need(text.length)
    for (let i = 0; i < text.length; i++) this.#bytes[this.#end++] = text.charCodeAt(i)
  }

  bytes(bytes: Uint8Array): void {
    this.#need(bytes.length)
    for (let i = 0; i < bytes.length; i++) this.#bytes[this.#end++] = bytes[i] as number
  }

  /** Writes a whole number. */
  decimal(value: number): void {
    if (value < 0 || value > 0x7fffffff) return this.text(String(value))
    this.#number(value, 10)
  }

  octal(value: number): void {
    this.#number(value, 8)
  }

  #number(value: number, radix: number): void {
    this.#need(16)
    let length = 1
    for (let rest = (value / radix) | 0; rest > 0; rest = (rest / radix) | 0) length++
    let rest = value | 0
    for (let at = this.#end + length - 1; at >= this.#end; at--) {
      const next = (rest / radix) | 0
      this.#bytes[at] = ZERO + rest - next * radix
      rest = next
    }
    this.#end += length
  }

  hex(bytes: Uint8Array, from: number, to: number): void {
    this.#need(2 * (to - from))
    for (let at = from; at < to; at++) {
      const byte = bytes[at] as number
      this.#bytes[this.#end++] = digits[byte >> 4] as number
      this.#bytes[this.#end++] = digits[byte & 15] as number
    }
  }

  /** Writes bytes with everything but printable ASCII escaped; in xattrs the equals sign too. */
  escaped(bytes: Uint8Array, from: number, to: number, equals = false): void {
    this.#need(4 * (to - from))
    const out = this.#bytes
    const most = equals ? 0 : 1
    let end = this.#end
    for (let at = from; at < to; at++) {
      const byte = bytes[at] as number
      const escape = escapes[byte] as number
      if (escape <= most) {
        out[end++] = byte
        continue
      }
      out[end++] = BACKSLASH
      if (escape !== LOWER_X && escape !== 1) out[end++] = escape
      else {
        out[end++] = LOWER_X
        out[end++] = digits[byte >> 4] as number
        out[end++] = digits[byte & 15] as number
      }
    }
    this.#end = end
  }

  /** Writes a field that may be unset: an empty one is `-`, and `-` itself is escaped. */
  optional(bytes: Uint8Array, from: number, to: number): void {
    if (from === to) this.byte(MINUS)
    else if (to - from === 1 && bytes[from] === MINUS) this.text('\\x2d')
    else this.escaped(bytes, from, to)
  }

  #need(length: number): void {
    if (this.#end + length <= this.#bytes.length) return
    this.flush()
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafe(2 * length)
  }
}
