/** Builds tars byte by byte, good and bad ones, with nothing of the code under test. */

export interface RawHeader {
  readonly name?: string
  readonly typeflag?: string
  readonly link?: string
  /** Numbers become octal digits; strings stand as they are. */
  readonly mode?: number | string
  readonly uid?: number | string
  readonly gid?: number | string
  readonly size?: number | string
  readonly mtime?: number | string
  readonly devmajor?: number | string
  readonly devminor?: number | string
  readonly prefix?: string
  readonly dialect?: 'v7' | 'ustar' | 'gnu' | 'star'
  /** A last change before the checksum is taken. */
  readonly edit?: (block: Buffer) => void
  /** What is written as checksum instead of the right one. */
  readonly checksum?: (sum: number, block: Buffer) => number
}

const magics = { v7: '', ustar: 'ustar\x0000', star: 'ustar\x0000', gnu: 'ustar  \0' }

export function header(fields: RawHeader): Buffer {
  const block = Buffer.alloc(512)
  const text = (value: string, at: number): void => void block.write(value, at, 'latin1')
  const number = (value: number | string, at: number, digits: number): void =>
    text(typeof value === 'string' ? value : `${value.toString(8).padStart(digits, '0')}\0`, at)
  text(fields.name ?? 'file', 0)
  number(fields.mode ?? 0o644, 100, 7)
  number(fields.uid ?? 0, 108, 7)
  number(fields.gid ?? 0, 116, 7)
  number(fields.size ?? 0, 124, 11)
  number(fields.mtime ?? 0, 136, 11)
  text(fields.typeflag ?? '0', 156)
  text(fields.link ?? '', 157)
  text(magics[fields.dialect ?? 'ustar'], 257)
  if (fields.devmajor !== undefined) number(fields.devmajor, 329, 7)
  if (fields.devminor !== undefined) number(fields.devminor, 337, 7)
  text(fields.prefix ?? '', 345)
  if (fields.dialect === 'star') text('tar\0', 508)
  fields.edit?.(block)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  text(`${(fields.checksum?.(sum, block) ?? sum).toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** Fills up to whole blocks. */
export function padded(bytes: Uint8Array | string): Buffer {
  const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : Buffer.from(bytes)
  return Buffer.concat([buffer, Buffer.alloc((512 - (buffer.length % 512)) % 512)])
}

/** Header and body. */
export function file(fields: RawHeader, bytes: Uint8Array | string): Buffer {
  return Buffer.concat([header({ size: bytes.length, ...fields }), padded(bytes)])
}

export function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length
  while (`${length}`.length + rest.length !== length) length++
  return `${length}${rest}`
}

/** A pax header: x unless told otherwise. */
export function pax(records: Readonly<Record<string, string>> | string, flag = 'x'): Buffer {
  const text =
    typeof records === 'string'
      ? records
      : Object.entries(records)
          .map(([key, value]) => record(key, value))
          .join('')
  return file({ name: 'PaxHeaders/x', typeflag: flag }, text)
}

/** GNU's long name (L) or long link target (K). */
export function gnuLong(flag: 'L' | 'K', text: string): Buffer {
  return file({ name: '././@LongLink', typeflag: flag, dialect: 'gnu' }, `${text}\0`)
}

/** GNU's base-256 form of a number. */
export function base256(value: bigint, length: number): string {
  const bits = BigInt.asUintN(length * 8, value) | (1n << BigInt(length * 8 - 1))
  return Buffer.from(bits.toString(16).padStart(length * 2, '0'), 'hex').toString('latin1')
}

/** Pairs of an old GNU sparse map, 24 bytes each. */
export function gnuPairs(pairs: readonly (readonly [number, number])[]): string {
  return pairs.map(([at, length]) => [at, length].map((n) => `${n.toString(8).padStart(11, '0')}\0`).join('')).join('')
}

export const trailer: Buffer = Buffer.alloc(1024)

export function tar(...parts: Uint8Array[]): Buffer {
  return Buffer.concat([...parts, trailer])
}
