/**
 * FlatBuffers, as much of them as a zTOC needs: tables of scalars, strings, tables and vectors.
 *
 *     buffer   u32 → root table
 *     table    i32 back to its vtable, then its fields
 *     vtable   u16 bytes of the vtable, u16 bytes of the table, u16 → field, from the table's start, for each; 0: absent
 *     vector   u32 count, elements;  string: the same, of bytes, with a NUL behind
 *
 * All offsets are an attacker's, so each is followed only within the buffer, and nothing is read by recursion. Many may
 * lead to the same string, which would make a small buffer large when it is read: all strings together may be no more
 * than the buffer holds, as they are where each is written once. Source: flatbuffers' doc "internals.md".
 */
import { OnefoldError } from '../../error.ts'

export class Table {
  readonly #bytes: Buffer
  readonly #at: number
  readonly #vtable: number
  readonly #fields: number
  readonly #strings: { left: number }

  private constructor(bytes: Buffer, at: number, strings: { left: number }) {
    this.#bytes = bytes
    this.#strings = strings
    this.#at = at
    requireRange(bytes, at, 4)
    this.#vtable = at - bytes.readInt32LE(at)
    requireRange(bytes, this.#vtable, 4)
    const vtableBytes = bytes.readUInt16LE(this.#vtable)
    if (vtableBytes < 4) throw damaged('a vtable is shorter than its own header')
    requireRange(bytes, this.#vtable, vtableBytes)
    this.#fields = (vtableBytes - 4) >> 1
  }

  /** Returns the root table. Throws BAD_FORMAT, as does everything below, when something lies outside of the buffer. */
  static root(source: Uint8Array): Table {
    const bytes = Buffer.from(source.buffer, source.byteOffset, source.length)
    requireRange(bytes, 0, 4)
    return new Table(bytes, bytes.readUInt32LE(0), { left: bytes.length })
  }

  /** Returns a string in latin1, one char per byte; '' when absent. */
  string(field: number): string {
    const at = this.#offset(field)
    return at === undefined ? '' : this.#stringOf(at)
  }

  /** Returns a view; empty when absent. */
  bytes(field: number): Uint8Array {
    const { at, count } = this.#vector(field, 1)
    return this.#bytes.subarray(at, at + count)
  }

  /** Returns a number. Throws for one that cannot be held exactly. */
  int64(field: number): number {
    const at = this.#scalar(field, 8)
    if (at === undefined) return 0
    const value = Number(this.#bytes.readBigInt64LE(at))
    if (!Number.isSafeInteger(value)) throw damaged(`it has the number ${value}`)
    return value
  }

  int32(field: number): number {
    const at = this.#scalar(field, 4)
    return at === undefined ? 0 : this.#bytes.readInt32LE(at)
  }

  uint32(field: number): number {
    const at = this.#scalar(field, 4)
    return at === undefined ? 0 : this.#bytes.readUInt32LE(at)
  }

  int8(field: number, absent: number): number {
    const at = this.#scalar(field, 1)
    return at === undefined ? absent : this.#bytes.readInt8(at)
  }

  table(field: number): Table | undefined {
    const at = this.#offset(field)
    return at === undefined ? undefined : new Table(this.#bytes, at, this.#strings)
  }

  /** Returns the number of elements in a vector of tables or strings. */
  count(field: number): number {
    return this.#vector(field, 4).count
  }

  tableAt(field: number, index: number): Table {
    return new Table(this.#bytes, this.#element(field, index), this.#strings)
  }

  stringAt(field: number, index: number): string {
    return this.#stringOf(this.#element(field, index))
  }

  #stringOf(place: number): string {
    const { at, count } = this.#vectorAt(place, 1)
    this.#strings.left -= count + 4
    if (this.#strings.left < 0) throw damaged('its strings are used more than once, and add up to more than it holds')
    return this.#bytes.toString('latin1', at, at + count)
  }

  #element(field: number, index: number): number {
    const { at, count } = this.#vector(field, 4)
    if (index >= count) throw new RangeError(`element ${index} of ${count}`)
    const element = at + 4 * index
    return element + this.#bytes.readUInt32LE(element)
  }

  #vector(field: number, elementBytes: number): { at: number; count: number } {
    const at = this.#offset(field)
    return at === undefined ? { at: 0, count: 0 } : this.#vectorAt(at, elementBytes)
  }

  #vectorAt(at: number, elementBytes: number): { at: number; count: number } {
    requireRange(this.#bytes, at, 4)
    const count = this.#bytes.readUInt32LE(at)
    requireRange(this.#bytes, at + 4, count * elementBytes)
    return { at: at + 4, count }
  }

  #offset(field: number): number | undefined {
    const at = this.#scalar(field, 4)
    return at === undefined ? undefined : at + this.#bytes.readUInt32LE(at)
  }

  #scalar(field: number, bytes: number): number | undefined {
    if (field >= this.#fields) return undefined
    const offset = this.#bytes.readUInt16LE(this.#vtable + 4 + 2 * field)
    if (offset === 0) return undefined
    requireRange(this.#bytes, this.#at + offset, bytes)
    return this.#at + offset
  }
}

function requireRange(bytes: Buffer, at: number, length: number): void {
  if (at < 0 || at + length > bytes.length) throw damaged(`it refers to ${length} bytes at ${at} of ${bytes.length}`)
}

function damaged(found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read a zTOC: ${found}`)
}
