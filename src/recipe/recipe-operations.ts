/** Operations that a recipe consists of, version 1, and the cursor over them. RECIPE.md has the picture. */
import { type DiffId, type VerityDigest, parseDiffId, verityDigestFrom } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Content } from '../formats/entry.ts'
import type { Ranges } from '../formats/tar/sparse.ts'

export const magic = Buffer.from('1fRECIPE', 'latin1')
export const version = 1
export const headerBytes = magic.length + 1

/** Kinds of operations: the low three bits of an operation's number; the rest is its length or size. */
export const RAW = 0
export const ZEROS = 1
export const INLINE = 2
export const OBJECT = 3
export const SPARSE_INLINE = 4
export const SPARSE_OBJECT = 5
export const END = 6

/** Most bytes of a number, with seven bits each: enough for 2^53. */
export const maxVarintBytes = 8
export const digestBytes = 32

export function checkHeader(bytes: Buffer): void {
  if (bytes.length < headerBytes || !bytes.subarray(0, magic.length).equals(magic))
    throw damaged('it does not begin as a recipe does')
  if (bytes[magic.length] !== version)
    throw new OnefoldError('UNSUPPORTED', `Cannot read a recipe of version ${bytes[magic.length]}: this is version 1`, {
      hint: 'A newer onefold wrote this store; use that.',
    })
}

/** Walks the operations; each read is checked against the end of the bytes. */
export class Cursor {
  readonly bytes: Buffer
  #at = headerBytes
  #rangesAt = 0
  kind = END
  /** RAW, ZEROS: number of framing bytes. Files: their real size. END: size of the tar. */
  length = 0
  /** Offset of the operation's bytes (RAW, inline content, digest). */
  from = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  /** Goes to the next operation; returns false when it is the END, which then can be looked at. */
  next(): boolean {
    const number = this.#varint()
    this.kind = number % 8
    this.length = Math.floor(number / 8)
    this.from = this.#at
    if (this.kind > END) throw damaged(`it has an operation ${this.kind}`)
    if (this.kind === END) return false
    this.#at += this.#payload()
    if (this.#at > this.bytes.length) throw damaged('it is cut short')
    if (this.kind === SPARSE_INLINE || this.kind === SPARSE_OBJECT) this.#skipRanges()
    return true
  }

  isFile(): boolean {
    return this.kind > ZEROS
  }

  content(): Content {
    if (this.kind === INLINE || this.kind === SPARSE_INLINE)
      return { kind: 'inline', bytes: new Uint8Array(this.bytes.subarray(this.from, this.from + this.length)) }
    return { kind: 'object', digest: this.digest(), size: this.length }
  }

  digest(): VerityDigest {
    return verityDigestFrom(this.bytes, this.from)
  }

  /** Returns the parts of a sparse file that lie in the tar. */
  ranges(): Ranges {
    const after = this.#at
    this.#at = this.#rangesAt
    const ranges: [number, number][] = []
    let end = 0
    for (let count = this.#varint(); count > 0; count--) {
      const offset = end + this.#varint()
      const length = this.#varint()
      end = offset + length
      if (end > this.length) throw damaged('a part of a sparse file lies beyond its end')
      ranges.push([offset, length])
    }
    this.#at = after
    return ranges
  }

  /** Reads the name of the tar at the END, after which nothing follows. */
  diffId(): DiffId {
    const length = this.#varint()
    const text = this.bytes.toString('latin1', this.#at, this.#at + length)
    if (text.length !== length || this.#at + length !== this.bytes.length)
      throw damaged('its end is not where it should be')
    try {
      return parseDiffId(text)
    } catch (cause) {
      throw damaged('it does not say the diffID of its tar', cause)
    }
  }

  #payload(): number {
    if (this.kind === ZEROS) return 0
    return this.kind === OBJECT || this.kind === SPARSE_OBJECT ? digestBytes : this.length
  }

  #skipRanges(): void {
    this.#rangesAt = this.#at
    for (let count = this.#varint(); count > 0; count--) {
      this.#varint()
      this.#varint()
    }
  }

  #varint(): number {
    let value = this.bytes[this.#at++]
    if (value === undefined) throw damaged('it is cut short')
    if (value < 0x80) return value
    value -= 0x80
    for (let scale = 128; scale <= 2 ** 49; scale *= 128) {
      const byte = this.bytes[this.#at++]
      if (byte === undefined) throw damaged('it is cut short')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
    }
    throw damaged('it holds a number beyond 2^53')
  }
}

/** Copies bytes; a plain loop beats the call into native code for most of what recipes are made of. */
export function copyShort(source: Uint8Array, from: number, length: number, target: Uint8Array, at: number): void {
  if (length > 64) target.set(source.subarray(from, from + length), at)
  else for (let i = 0; i < length; i++) target[at + i] = source[from + i]!
}

export function damaged(found: string, cause?: unknown): OnefoldError {
  return new OnefoldError('CORRUPT', `Cannot read a recipe: ${found}`, {
    cause,
    hint: 'onefold fsck finds what is damaged in the store and fetches it again.',
  })
}
