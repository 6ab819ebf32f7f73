import type { DiffId } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import type { Content } from '../formats/entry.ts'
import {
  END,
  INLINE,
  OBJECT,
  RAW,
  SPARSE_INLINE,
  SPARSE_OBJECT,
  ZEROS,
  copyShort,
  digestBytes,
  headerBytes,
  magic,
  maxVarintBytes,
  version,
} from './recipe-operations.ts'
import type { Ranges } from '../formats/tar/sparse.ts'

export interface RecipeEnd {
  readonly diffId: DiffId
  /** Size of the whole tar, in bytes. */
  readonly tarSize: number
}

/** Shortest run of zeros that is an operation, in 4-byte words: shorter ones cost more than they save. */
const minZeroWords = 4
const stagingBytes = 1 << 16
/** Largest recipe, beyond any layer whose entries fit into memory. */
const maxRecipeBytes = 2 ** 30

/** Collects a recipe while a tar goes by. Its bytes do not depend on how the framing was cut into pieces. */
export class RecipeWriter {
  #out = Buffer.allocUnsafe(stagingBytes)
  #length = 0
  /** Portion of the framing since the last file. */
  readonly #staging = Buffer.alloc(stagingBytes)
  readonly #words = new Int32Array(this.#staging.buffer, this.#staging.byteOffset, stagingBytes / 4)
  #staged = 0

  constructor() {
    magic.copy(this.#out)
    this.#out[magic.length] = version
    this.#length = headerBytes
  }

  /** Takes the next bytes of the tar that are not content. */
  framing(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const length = Math.min(bytes.length - at, stagingBytes - this.#staged)
      const part = length === bytes.length ? bytes : bytes.subarray(at, at + length)
      this.#staging.set(part, this.#staged)
      this.#staged += length
      at += length
      if (this.#staged === stagingBytes) this.#flushFraming()
    }
  }

  /**
   * Takes the body of the entry whose header went by last: the whole file, holes included.
   * @param ranges parts of a sparse file that the tar holds, as the parser gave them
   */
  file(content: Content, ranges: Ranges | undefined): void {
    if (content.kind === 'empty') return
    if (content.kind === 'unknown')
      throw new OnefoldError('USAGE', 'Cannot put a file into a recipe: what it holds is not known yet')
    this.#flushFraming()
    if (content.kind === 'inline') {
      this.#operation(ranges === undefined ? INLINE : SPARSE_INLINE, content.bytes.length)
      this.#bytes(content.bytes, 0, content.bytes.length)
    } else {
      this.#operation(ranges === undefined ? OBJECT : SPARSE_OBJECT, content.size)
      this.#reserve(digestBytes)
      this.#length += this.#out.write(content.digest, this.#length, digestBytes, 'hex')
    }
    if (ranges !== undefined) this.#ranges(ranges)
  }

  /** Returns the whole recipe, uncompressed. */
  finish({ diffId, tarSize }: RecipeEnd): Uint8Array {
    this.#flushFraming()
    this.#operation(END, tarSize)
    const text = Buffer.from(diffId, 'latin1')
    this.#varint(text.length)
    this.#bytes(text, 0, text.length)
    return this.#out.subarray(0, this.#length)
  }

  #flushFraming(): void {
    const words = this.#words
    const count = this.#staged >>> 2
    let literal = 0
    for (let i = 0; i < count;) {
      if (words[i] !== 0) {
        i++
        continue
      }
      let end = i + 1
      while (end < count && words[end] === 0) end++
      if (end - i >= minZeroWords) {
        this.#raw(literal, i * 4)
        this.#operation(ZEROS, (end - i) * 4)
        literal = end * 4
      }
      i = end
    }
    this.#raw(literal, this.#staged)
    this.#staged = 0
  }

  #raw(from: number, to: number): void {
    if (from === to) return
    this.#operation(RAW, to - from)
    this.#bytes(this.#staging, from, to)
  }

  #operation(kind: number, length: number): void {
    this.#varint(length * 8 + kind)
  }

  #ranges(ranges: Ranges): void {
    this.#varint(ranges.length)
    let end = 0
    for (const [offset, length] of ranges) {
      this.#varint(offset - end)
      this.#varint(length)
      end = offset + length
    }
  }

  #varint(value: number): void {
    this.#reserve(maxVarintBytes)
    const out = this.#out
    while (value > 0x7fffffff) {
      out[this.#length++] = (value % 128) | 0x80
      value = Math.floor(value / 128)
    }
    while (value > 0x7f) {
      out[this.#length++] = (value & 0x7f) | 0x80
      value >>>= 7
    }
    out[this.#length++] = value
  }

  #bytes(bytes: Uint8Array, from: number, to: number): void {
    const length = to - from
    this.#reserve(length)
    copyShort(bytes, from, length, this.#out, this.#length)
    this.#length += length
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#out.length) return
    if (needed > maxRecipeBytes)
      throw new OnefoldError('LIMIT', `Cannot store a layer: its headers alone have more than ${maxRecipeBytes} bytes`)
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#out.length * 2))
    this.#out.copy(larger, 0, 0, this.#length)
    this.#out = larger
  }
}
