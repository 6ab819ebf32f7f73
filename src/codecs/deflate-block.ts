import { constants } from 'node:zlib'
import { OnefoldError } from '../error.ts'
import { type Zlib, nativeZlib } from './native.ts'
import { ZStream, requireCode } from './z-stream.ts'

const { Z_OK, Z_STREAM_END, Z_SYNC_FLUSH, Z_FINISH, Z_BLOCK } = constants

/**
 * Deflate (RFC 1951) as this Node carries it, block by block: blocks that are compressed apart, each with the bytes
 * before it as dictionary, make one stream when they are joined, as pigz does it.
 *
 * The output depends on nothing but the input and the parameters below, on every machine whose processor has CRC
 * instructions (x86-64 since 2011, all of arm64 but the very first): zlib looks for matches with them. Without, it
 * finds others in places, and the stream is as good and another one.
 */

/** Version of the encoder's output, raised with every change of it: of the parameters, the blocks or their order. */
export const deflateVersion = 2

/** Greatest distance of a match, in bytes; more of a dictionary is of no use. */
export const dictionaryBytes = 32 * 1024

/**
 * Level 6 with shorter chains: within 3 % of what `gzip -6` gives, in half of its time. `tuning` has the parameters
 * good, lazy, nice and chain of deflateTune().
 */
const tunedLevel = 6
const tuning = [4, 5, 32, 16] as const
/** Twice the hash table that zlib takes unasked, for fewer chains with bytes that only hash alike. */
const memLevel = 9
/**
 * Bytes of input between two sets of Huffman codes: a tar changes with every file. zlib alone would wait for 32,768
 * symbols.
 */
const codeBytes = 16 * 1024
const rawWindowBits = -15

/**
 * Returns the most bytes that `length` bytes may be compressed to: stored blocks of `codeBytes` at worst, and the
 * flush.
 */
export function deflatedMax(length: number): number {
  return length + (length >> 10) + 1024
}

/**
 * Compresses a block into `output`, which has room for deflatedMax() of it; returns how much was written. All but the
 * last block end at a byte, open for the next. Throws UNSUPPORTED where this Node does not export its zlib: node:zlib
 * cannot be tuned, and another zlib would give other bytes.
 *
 * Every block has a zlib state of its own: one that is used again remembers bytes of the block before, and looks at the
 * first of them when it hashes the last of a dictionary.
 * @param dictionary the bytes before the block, up to 32 KiB; none for the first
 * @param level zlib's own, 1 to 9, instead of what is tuned above
 */
export function deflateBlock(
  input: Uint8Array,
  dictionary: Uint8Array,
  isLast: boolean,
  output: Uint8Array,
  level?: number,
): number {
  const own = ownZlib()
  const stream = new ZStream()
  stream.beginDeflate(own, { level: level ?? tunedLevel, windowBits: rawWindowBits, memLevel })
  try {
    if (level === undefined) requireCode(own.deflateTune(stream.struct, ...tuning), Z_OK)
    if (dictionary.length > 0) requireCode(own.deflateSetDictionary(stream.struct, dictionary, dictionary.length), Z_OK)
    stream.setInput(input)
    stream.setOutput(output)
    deflatePieces(own, stream, input.length, isLast)
    return output.length - stream.free
  } finally {
    own.deflateEnd(stream.struct)
  }
}

/** Throws UNSUPPORTED where deflateBlock() would. */
export function requireDeflate(): void {
  ownZlib()
}

function ownZlib(): Zlib {
  const own = nativeZlib.own()
  if (own !== undefined) return own
  throw new OnefoldError('UNSUPPORTED', 'Cannot compress layers: this Node does not export its zlib', {
    hint: 'Run onefold with the Node that `npm ci` installs beside it.',
  })
}

/** Deflates `length` bytes of input, with new Huffman codes for each piece. */
function deflatePieces({ deflate }: Zlib, stream: ZStream, length: number, isLast: boolean): void {
  for (let given = 0, isEnd = false; !isEnd;) {
    const piece = Math.min(codeBytes, length - given)
    given += piece
    isEnd = given === length
    stream.unread = piece
    const flush = isEnd ? (isLast ? Z_FINISH : Z_SYNC_FLUSH) : Z_BLOCK
    requireCode(deflate(stream.struct, flush), flush === Z_FINISH ? Z_STREAM_END : Z_OK)
    const { unread, free } = stream
    if (unread > 0 || free === 0) throw new Error(`deflate left ${unread} bytes, with ${free} bytes of room`)
  }
}
