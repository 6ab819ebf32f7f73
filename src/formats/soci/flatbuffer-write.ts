/**
 * Builds a FlatBuffer from its end to its beginning, byte for byte as Google's Go library does, so that equal tables
 * give equal files. See flatbuffer-read.ts for the layout.
 */

/** Offset of something, counted from the end of the buffer: what is written later lies before it. */
export type Offset = number

export class FlatBuilder {
  #bytes: Buffer
  /** Index of the first byte in use. */
  #head: number
  #minAlign = 1
  /** Fields of the table being written: where each lies, 0 where it has its default. */
  #fields: Offset[] = []
  #tableEnd = 0
  readonly #vtables: Offset[] = []

  /** @param expected number of bytes; the buffer grows when there are more */
  constructor(expected = 1024) {
    this.#bytes = Buffer.alloc(expected)
    this.#head = expected
  }

  /** @param text string with one char per byte */
  string(text: string): Offset {
    this.#prepare(4, text.length + 1)
    this.#head -= text.length + 1
    this.#bytes.write(text, this.#head, 'latin1')
    this.#bytes[this.#head + text.length] = 0
    this.#place32(text.length)
    return this.#offset
  }

  bytes(value: Uint8Array): Offset {
    this.#prepare(4, value.length)
    this.#head -= value.length
    this.#bytes.set(value, this.#head)
    this.#place32(value.length)
    return this.#offset
  }

  vector(elements: readonly Offset[]): Offset {
    this.#prepare(4, 4 * elements.length)
    for (let i = elements.length - 1; i >= 0; i--) this.#placeOffset(elements[i] as Offset)
    this.#place32(elements.length)
    return this.#offset
  }

  startTable(fields: number): void {
    this.#fields = Array.from({ length: fields }, () => 0)
    this.#tableEnd = this.#offset
  }

  addOffset(field: number, target: Offset): void {
    this.#prepare(4, 0)
    this.#placeOffset(target)
    this.#fields[field] = this.#offset
  }

  addInt64(field: number, value: number): void {
    if (value === 0) return
    this.#prepare(8, 0)
    this.#head -= 8
    this.#bytes.writeBigInt64LE(BigInt(value), this.#head)
    this.#fields[field] = this.#offset
  }

  addInt32(field: number, value: number): void {
    if (value === 0) return
    this.#prepare(4, 0)
    this.#place32(value >>> 0)
    this.#fields[field] = this.#offset
  }

  addInt8(field: number, value: number, absent: number): void {
    if (value === absent) return
    this.#prepare(1, 0)
    this.#bytes[--this.#head] = value
    this.#fields[field] = this.#offset
  }

  endTable(): Offset {
    this.#prepare(4, 0)
    this.#place32(0)
    const table = this.#offset
    const fields = this.#fields.slice(0, this.#fields.findLastIndex((at) => at !== 0) + 1)
    const known = this.#vtables.findLast((vtable) => this.#isVtable(vtable, table, fields))
    const vtable = known ?? this.#writeVtable(table, fields)
    this.#bytes.writeInt32LE(vtable - table, this.#bytes.length - table)
    return table
  }

  finish(root: Offset): Uint8Array {
    this.#prepare(this.#minAlign, 4)
    this.#placeOffset(root)
    return this.#bytes.subarray(this.#head)
  }

  get #offset(): Offset {
    return this.#bytes.length - this.#head
  }

  /** Writes a vtable: each field counted from the table's start; then bytes of the table and of itself. */
  #writeVtable(table: Offset, fields: readonly Offset[]): Offset {
    for (const field of fields.toReversed()) this.#place16(field === 0 ? 0 : table - field)
    this.#place16(table - this.#tableEnd)
    this.#place16(4 + 2 * fields.length)
    const vtable = this.#offset
    this.#vtables.push(vtable)
    return vtable
  }

  /** Compares a vtable as the Go library does, whatever size it says the table has. */
  #isVtable(vtable: Offset, table: Offset, fields: readonly Offset[]): boolean {
    const at = this.#bytes.length - vtable
    if (this.#bytes.readUInt16LE(at) !== 4 + 2 * fields.length) return false
    return fields.every((field, i) => this.#bytes.readUInt16LE(at + 4 + 2 * i) === (field === 0 ? 0 : table - field))
  }

  /** Pads so that something of `size` bytes is aligned once `additional` bytes have been written before it. */
  #prepare(size: number, additional: number): void {
    if (size > this.#minAlign) this.#minAlign = size
    const padding = -(this.#offset + additional) & (size - 1)
    while (this.#head < padding + size + additional) this.#grow()
    this.#bytes.fill(0, this.#head - padding, this.#head)
    this.#head -= padding
  }

  #grow(): void {
    const grown = Buffer.alloc(this.#bytes.length * 2)
    grown.set(this.#bytes, this.#bytes.length)
    this.#head += this.#bytes.length
    this.#bytes = grown
  }

  #place32(value: number): void {
    this.#head -= 4
    this.#bytes.writeUInt32LE(value, this.#head)
  }

  #place16(value: number): void {
    if (this.#head < 2) this.#grow()
    this.#head -= 2
    this.#bytes.writeUInt16LE(value, this.#head)
  }

  /** Writes an offset forward, from where it stands itself. */
  #placeOffset(target: Offset): void {
    this.#place32(this.#offset + 4 - target)
  }
}
