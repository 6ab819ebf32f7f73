/**
 * Zstandard files are frames one after the other (RFC 8878, section 3.1), all little-endian:
 *
 *     frame       FD2FB528  descriptor u8  [window u8]  [dictionary 1|2|4]  [content size 1|2|4|8]
 *                 blocks: u24 = last | type << 1 | size << 3, then the block      [xxh64 low half u32]
 *     descriptor  content size flag << 6 | single segment << 5 | 0 << 3 | checksum << 2 | dictionary flag
 *     window      exponent << 3 | mantissa: 2^(10+e) × (1 + m/8) bytes that a decoder must keep
 *     skippable   184D2A5x  size u32  anything
 *
 * The walk decodes nothing: it finds where frames begin and end and what memory they ask for, which the writer of the
 * file chose.
 */
import { zstdDecompressSync } from 'node:zlib'
import { OnefoldError } from '../error.ts'

export interface ZstdFrame {
  readonly kind: 'data' | 'skippable'
  /** Offset of the frame in the file, in bytes. */
  readonly offset: number
  readonly length: number
  /** Window that a decoder must keep, in bytes; 0 for skippable frames. */
  readonly windowSize: number
  /** Number of decoded bytes, where the frame says so. */
  readonly contentSize: number | undefined
  readonly checksum: boolean
  readonly blocks: number
}

export interface ZstdLimits {
  /** Largest window accepted, in bytes. */
  readonly maxWindow?: number
}

/** Largest window that zstd itself decodes without being asked (`--long=27`), in bytes. */
const defaultMaxWindow = 2 ** 27

const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50
const maxBlockBytes = 2 ** 17
const maxHeaderBytes = 18

const RAW = 0
const RLE = 1
const RESERVED = 3

interface FrameHeader {
  readonly length: number
  readonly windowSize: number
  readonly contentSize: number | undefined
  readonly checksum: boolean
}

/** Reads the frames of a whole file. */
export function readZstdFrames(bytes: Uint8Array, limits: ZstdLimits = {}): ZstdFrame[] {
  const frames: ZstdFrame[] = []
  const walk = new ZstdWalk((frame) => frames.push(frame), limits)
  walk.write(bytes)
  walk.end()
  return frames
}

/**
 * Decodes a whole file, whose frames have been read. Throws LIMIT when it decodes to more than `maxBytes`, and
 * BAD_FORMAT when it is damaged.
 */
export function decodeZstdFrames(bytes: Uint8Array, maxBytes: number): Uint8Array {
  try {
    // At least one byte: zlib takes no smaller limit, and one byte over is found below.
    const decoded = zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, maxBytes) })
    if (decoded.length <= maxBytes) return decoded
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw badZstd(cause instanceof Error ? cause.message : String(cause), cause)
  }
  throw new OnefoldError('LIMIT', `Cannot read zstd data: it decodes to more than ${maxBytes} bytes`)
}

/** Finds the frames of a file as it comes by, in pieces of any size. */
export class ZstdWalk {
  readonly #onFrame: (frame: ZstdFrame) => void
  readonly #maxWindow: number
  /** Piece of the file that is being looked at, with what was left of the one before. */
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  /** Number of bytes of a block or skippable frame still to pass over. */
  #skip = 0
  #offset = 0
  #frameOffset = 0
  #frame: FrameHeader | undefined
  #skippable = false
  #blocks = 0
  #last = false
  #seen = false

  constructor(onFrame: (frame: ZstdFrame) => void, limits: ZstdLimits = {}) {
    this.#onFrame = onFrame
    this.#maxWindow = limits.maxWindow ?? defaultMaxWindow
  }

  write(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#seen = true
    const rest = this.#bytes
    this.#bytes =
      rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([rest, chunk])
    while (this.#step());
    // What is left over is part of one header: a copy of few bytes, because the chunk is its owner's again.
    this.#offset += this.#at
    this.#bytes = Buffer.from(this.#bytes.subarray(this.#at))
    this.#at = 0
  }

  /** Throws BAD_FORMAT unless the file may end here. */
  end(): void {
    if (!this.#seen) throw badZstd('it is empty')
    if (this.#frame !== undefined || this.#skippable || this.#bytes.length > 0)
      throw badZstd('it is cut short in a frame')
  }

  /** Takes one step; returns false when more bytes are needed. */
  #step(): boolean {
    if (this.#skip > 0) {
      const length = Math.min(this.#skip, this.#left)
      this.#at += length
      this.#skip -= length
      return length > 0
    }
    if (this.#skippable) return this.#endFrame({ length: 0, windowSize: 0, contentSize: undefined, checksum: false })
    if (this.#frame === undefined) return this.#beginFrame()
    return this.#last ? this.#endFrame(this.#frame) : this.#beginBlock(this.#frame)
  }

  get #left(): number {
    return this.#bytes.length - this.#at
  }

  #beginFrame(): boolean {
    if (this.#left < 4) return false
    this.#frameOffset = this.#offset + this.#at
    this.#blocks = 0
    this.#last = false
    const magic = this.#bytes.readUInt32LE(this.#at)
    if ((magic & 0xfffffff0) >>> 0 === skippableMagic) return this.#beginSkippable()
    if (magic !== frameMagic) throw badZstd(`no frame begins at byte ${this.#frameOffset}`)
    const header = readFrameHeader(this.#bytes.subarray(this.#at, this.#at + maxHeaderBytes))
    if (header === undefined) return false
    if (header.windowSize > this.#maxWindow)
      throw new OnefoldError(
        'LIMIT',
        `Cannot read zstd data: a frame needs a window of ${header.windowSize} bytes, the limit is ${this.#maxWindow}`,
      )
    this.#frame = header
    this.#at += header.length
    return true
  }

  #beginSkippable(): boolean {
    if (this.#left < 8) return false
    this.#skip = this.#bytes.readUInt32LE(this.#at + 4)
    this.#skippable = true
    this.#at += 8
    return true
  }

  #beginBlock({ windowSize, checksum }: FrameHeader): boolean {
    if (this.#left < 3) return false
    const header = this.#bytes.readUIntLE(this.#at, 3)
    const [type, size] = [(header >> 1) & 3, header >> 3]
    if (type === RESERVED) throw badZstd('a block has the reserved type')
    if (size > Math.min(windowSize, maxBlockBytes)) throw badZstd(`a block of ${size} bytes is too large for its frame`)
    if (type !== RAW && type !== RLE && size === 0) throw badZstd('a compressed block is empty')
    this.#at += 3
    this.#blocks++
    this.#last = (header & 1) === 1
    this.#skip = (type === RLE ? 1 : size) + (this.#last && checksum ? 4 : 0)
    return true
  }

  #endFrame({ windowSize, contentSize, checksum }: FrameHeader): true {
    const offset = this.#frameOffset
    const length = this.#offset + this.#at - offset
    const kind = this.#skippable ? 'skippable' : 'data'
    this.#frame = undefined
    this.#skippable = false
    this.#onFrame({ kind, offset, length, windowSize, contentSize, checksum, blocks: this.#blocks })
    return true
  }
}

/** Reads the header of a data frame; returns undefined when it is not all there. */
function readFrameHeader(bytes: Buffer): FrameHeader | undefined {
  const descriptor = bytes[4]
  if (descriptor === undefined) return undefined
  if ((descriptor & 8) !== 0) throw badZstd('a reserved bit of a frame is set')
  const single = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const dictionaryAt = single ? 5 : 6
  const length = dictionaryAt + dictionaryBytes + sizeBytes
  if (bytes.length < length) return undefined
  if (dictionaryBytes > 0 && bytes.readUIntLE(dictionaryAt, dictionaryBytes) !== 0)
    throw new OnefoldError('UNSUPPORTED', 'Cannot read zstd data: it needs a dictionary')
  const contentSize = sizeBytes === 0 ? undefined : readContentSize(bytes, dictionaryAt + dictionaryBytes, sizeBytes)
  const windowSize = single ? contentSize! : windowOf(bytes[5]!)
  return { length, windowSize, contentSize, checksum: (descriptor & 4) !== 0 }
}

function windowOf(descriptor: number): number {
  return 2 ** (10 + (descriptor >> 3)) * (1 + (descriptor & 7) / 8)
}

/**
 * Reads the content size of a frame. Two bytes count from 256; eight may say more than a number can hold, which then is
 * only known to be too much.
 */
function readContentSize(bytes: Buffer, at: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(at))
  return bytes.readUIntLE(at, length) + (length === 2 ? 256 : 0)
}

function badZstd(found: string, cause?: unknown): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read zstd data: ${found}`, { cause })
}
