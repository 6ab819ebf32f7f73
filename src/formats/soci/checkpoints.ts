/**
 * Places where a decoder can start within a layer. For gzip ("zinfo"):
 *
 *     i32 count · i64 span size · count × { i64 in · i64 out · u8 bits · 32768 bytes window }
 *
 * `in` is the offset in the blob of the first whole byte, `out` the one in the tar; `bits` bits of the byte before `in`
 * belong to the stream as well; the window is the output before `out`, oldest first, zeros in front. Version 1 left the
 * first checkpoint out, which is always (10, 0, 0) with a window of zeros; only the length tells.
 *
 * For a layer that is not compressed a FlatBuffer { i32 version · i64 span size · i64 size }, and spans of one size.
 * For zstd, which SOCI does not know: as gzip's, with the starts of frames and no bits and windows.
 */
import { FlatBuilder } from './flatbuffer-write.ts'
import { Table } from './flatbuffer-read.ts'
import { type ZtocAlgorithm, badZtoc } from './ztoc.ts'

export interface Checkpoint {
  readonly in: number
  readonly out: number
  readonly bits: number
  /** Output before the checkpoint, 32 KiB for gzip; empty where nothing needs one. */
  readonly window: Uint8Array
}

export interface Checkpoints {
  readonly spanSize: number
  readonly list: readonly Checkpoint[]
}

export const windowBytes = 32_768
const headerBytes = 12
const placeBytes = 16
const gzipBytes = placeBytes + 1 + windowBytes
/** Size of a gzip header without any field. */
const gzipHeaderBytes = 10
const noWindow = new Uint8Array(0)

/**
 * Reads checkpoints. Throws BAD_FORMAT for bytes that do not have the length they claim, or checkpoints that do not
 * ascend.
 * @param spans how many there have to be: where they follow from two numbers, those alone could ask for any memory
 */
export function readCheckpoints(bytes: Uint8Array, algorithm: ZtocAlgorithm, spans: number): Checkpoints {
  const read = algorithm === 'gzip' ? readGzip : algorithm === 'zstd' ? readZstd : readUncompressed
  const { spanSize, list } = read(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), spans)
  if (list.length !== spans) throw badZtoc(`it has ${list.length} checkpoints and the digests of ${spans} spans`)
  let last: Checkpoint | undefined
  for (const checkpoint of list) {
    const { in: input, out, bits } = checkpoint
    if (!Number.isSafeInteger(input) || !Number.isSafeInteger(out) || bits > 7 || (bits > 0 && input < 1))
      throw badZtoc('a checkpoint lies nowhere')
    if (last === undefined ? out !== 0 : input <= last.in || out < last.out)
      throw badZtoc('its checkpoints do not ascend from the beginning of the tar')
    last = checkpoint
  }
  return { spanSize, list }
}

function readGzip(bytes: Buffer): Checkpoints {
  const { count, spanSize } = readHeader(bytes)
  const stored = (bytes.length - headerBytes) / gzipBytes
  const isFirstImplied = stored === count - 1
  if (stored !== count && !isFirstImplied)
    throw badZtoc(`${bytes.length} bytes of checkpoints are not ${count} of ${gzipBytes} bytes each`)
  const list = Array.from({ length: stored }, (_, i) => {
    const at = headerBytes + i * gzipBytes
    return {
      in: Number(bytes.readBigInt64LE(at)),
      out: Number(bytes.readBigInt64LE(at + 8)),
      bits: bytes[at + placeBytes] as number,
      window: bytes.subarray(at + placeBytes + 1, at + gzipBytes),
    }
  })
  const first = { in: gzipHeaderBytes, out: 0, bits: 0, window: Buffer.alloc(windowBytes) }
  return { spanSize, list: isFirstImplied ? [first, ...list] : list }
}

function readZstd(bytes: Buffer): Checkpoints {
  const { count, spanSize } = readHeader(bytes)
  if (bytes.length !== headerBytes + count * placeBytes)
    throw badZtoc(`${bytes.length} bytes of checkpoints are not ${count} of ${placeBytes} bytes each`)
  const list = Array.from({ length: count }, (_, i) => {
    const at = headerBytes + i * placeBytes
    return {
      in: Number(bytes.readBigInt64LE(at)),
      out: Number(bytes.readBigInt64LE(at + 8)),
      bits: 0,
      window: noWindow,
    }
  })
  return { spanSize, list }
}

function readHeader(bytes: Buffer): { count: number; spanSize: number } {
  if (bytes.length < headerBytes) throw badZtoc(`${bytes.length} bytes of checkpoints are fewer than their header`)
  const count = bytes.readInt32LE(0)
  const spanSize = Number(bytes.readBigInt64LE(4))
  if (count < 1) throw badZtoc(`it has ${count} checkpoints`)
  return { count, spanSize }
}

function readUncompressed(bytes: Buffer, spans: number): Checkpoints {
  const table = Table.root(bytes)
  const spanSize = table.int64(1)
  const size = table.int64(2)
  if (spanSize < 1 || size < 0) throw badZtoc(`spans of ${spanSize} bytes in ${size}`)
  const count = Math.max(1, Math.ceil(size / spanSize))
  if (count !== spans) throw badZtoc(`it has ${count} checkpoints and the digests of ${spans} spans`)
  const list = Array.from({ length: count }, (_, i) => {
    return { in: i * spanSize, out: i * spanSize, bits: 0, window: noWindow }
  })
  return { spanSize, list }
}

export function writeGzipCheckpoints({ spanSize, list }: Checkpoints): Uint8Array {
  const bytes = Buffer.alloc(headerBytes + list.length * gzipBytes)
  writeHeader(bytes, list.length, spanSize)
  list.forEach((checkpoint, i) => {
    const at = headerBytes + i * gzipBytes
    writePlace(bytes, at, checkpoint)
    bytes[at + placeBytes] = checkpoint.bits
    bytes.set(checkpoint.window, at + placeBytes + 1)
  })
  return bytes
}

export function writeZstdCheckpoints({ spanSize, list }: Checkpoints): Uint8Array {
  const bytes = Buffer.alloc(headerBytes + list.length * placeBytes)
  writeHeader(bytes, list.length, spanSize)
  list.forEach((checkpoint, i) => writePlace(bytes, headerBytes + i * placeBytes, checkpoint))
  return bytes
}

/** @param size number of bytes of the tar */
export function writeUncompressedCheckpoints(spanSize: number, size: number): Uint8Array {
  const builder = new FlatBuilder(64)
  builder.startTable(3)
  builder.addInt32(0, 2)
  builder.addInt64(1, spanSize)
  builder.addInt64(2, size)
  return builder.finish(builder.endTable())
}

function writeHeader(bytes: Buffer, count: number, spanSize: number): void {
  bytes.writeInt32LE(count, 0)
  bytes.writeBigInt64LE(BigInt(spanSize), 4)
}

function writePlace(bytes: Buffer, at: number, checkpoint: Checkpoint): void {
  bytes.writeBigInt64LE(BigInt(checkpoint.in), at)
  bytes.writeBigInt64LE(BigInt(checkpoint.out), at + 8)
}
