/**
 * Footer of a blob in either dialect of zstd:chunked: a skippable frame with numbers, all u64 little-endian.
 *
 *     50 2a 4d 18  28 00 00 00     table: offset, bytes, bytes decoded    1     "GnUlInUx"            stargz: 40 bytes
 *     50 2a 4d 18  40 00 00 00     table: offset, bytes, bytes decoded    1
 *                                  tar-split: offset, bytes, decoded            "GNUlInUx"        containers: 64 bytes
 *
 * Table and tar-split are zstd frames in skippable frames of their own; offsets are of what lies in them, 8 bytes in.
 */

import type { Position } from './toc-annotations.ts'

export const skippableHeaderBytes = 8

/** Returns where the frame begins that a table lies in: the end of what is before it. */
export function frameStart({ start }: Position): number {
  return start - skippableHeaderBytes
}

export interface ZstdFooter {
  /** Dialect by the footer's magic: stargz', or that of containers/storage. */
  readonly dialect: 'stargz' | 'containers'
  readonly toc: Position
  /** Position of the tar-split, in containers' dialect only. */
  readonly tarSplit?: Position
}

const stargzMagic = Buffer.from('GnUlInUx', 'latin1')
const containersMagic = Buffer.from('GNUlInUx', 'latin1')
const stargzBytes = 40
const containersBytes = 64
const tableKind = 1n

/** Length of a blob's end that either footer fits into. */
export const maxZstdFooterBytes = skippableHeaderBytes + containersBytes

/** Parses the last bytes of a blob; undefined when they are no footer. Positions are not checked against the blob. */
export function parseZstdFooter(tail: Uint8Array): ZstdFooter | undefined {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.length)
  const magic = bytes.subarray(-stargzMagic.length)
  const length = magic.equals(stargzMagic) ? stargzBytes : magic.equals(containersMagic) ? containersBytes : undefined
  if (length === undefined || bytes.length < skippableHeaderBytes + length) return undefined
  const frame = bytes.subarray(bytes.length - skippableHeaderBytes - length)
  if (!frame.subarray(0, skippableHeaderBytes).equals(skippableHeader(length))) return undefined
  const numbers = frame.subarray(skippableHeaderBytes)
  if (numbers.readBigUInt64LE(24) !== tableKind) return undefined
  const toc = positionAt(numbers, 0)
  return length === stargzBytes
    ? { dialect: 'stargz', toc }
    : { dialect: 'containers', toc, tarSplit: positionAt(numbers, 32) }
}

export function writeZstdFooter({ toc, tarSplit }: Pick<ZstdFooter, 'toc' | 'tarSplit'>): Buffer {
  const footer = Buffer.alloc(tarSplit === undefined ? stargzBytes : containersBytes)
  writePosition(footer, 0, toc)
  footer.writeBigUInt64LE(tableKind, 24)
  if (tarSplit !== undefined) writePosition(footer, 32, tarSplit)
  const magic = tarSplit === undefined ? stargzMagic : containersMagic
  magic.copy(footer, footer.length - magic.length)
  return Buffer.concat([skippableHeader(footer.length), footer])
}

/** Returns the header of a skippable frame of `length` bytes. */
export function skippableHeader(length: number): Buffer {
  const header = Buffer.from('502a4d1800000000', 'hex')
  header.writeUInt32LE(length, 4)
  return header
}

/** Reads a position. Numbers beyond 2^53 come out as beyond every blob. */
function positionAt(bytes: Buffer, at: number): Position {
  const [start, length, size] = [0, 8, 16].map((i) => Number(bytes.readBigUInt64LE(at + i))) as [number, number, number]
  return { start, end: start + length, size }
}

function writePosition(bytes: Buffer, at: number, { start, end, size }: Position): void {
  for (const [i, value] of [start, end - start, size].entries()) bytes.writeBigUInt64LE(BigInt(value), at + i * 8)
}
