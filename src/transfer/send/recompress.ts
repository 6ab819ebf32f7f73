import { crc32 } from 'node:zlib'
import { dictionaryBytes, requireDeflate } from '../../codecs/deflate-block.ts'
import { type Block, type Deflated, type Slot, blockBytes, compressBlock, newSlot } from './block.ts'
import { ThreadPool, threadCount } from '../../threads/pool.ts'
import { startThread } from '../../threads/start.ts'

/**
 * Gzip (RFC 1952), one member, the same bytes for the same input however many threads there are and in whatever pieces it
 * comes: it is cut every MiB, and each block is compressed apart with the 32 KiB before it as dictionary.
 *
 *     1f 8b 08 00 │ mtime 0 │ 00 ff    no name, no time, OS unknown
 *     deflate block │ 00 00 ff ff      … each ends at a byte (sync flush), the last with the final bit instead
 *     crc32 │ length mod 2^32
 */
const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)

/** Blocks on their way for each thread: one being compressed, one waiting, so that no thread waits for the main one. */
const blocksPerThread = 2
const threadsMax = 16

/** Compresses one stream after the other on threads, which are started for the first that is longer than a block. */
export class Recompressor implements AsyncDisposable {
  readonly #threads: number
  readonly #pool: ThreadPool<Block, Deflated>
  readonly #slots: Slot[] = []

  constructor(threads?: number) {
    this.#threads = threadCount(threadsMax, threads)
    this.#pool = new ThreadPool(() => startThread('deflate-thread', import.meta.url), { threads: this.#threads })
  }

  /**
   * The compressed stream, in chunks that are valid until the next is asked for.
   * @param level 1 to 9; without one, the parameters that exports are made with
   */
  async *gzip(chunks: Iterable<Uint8Array>, level?: number): AsyncGenerator<Uint8Array> {
    // Asked before a thread is started: one that is ended while it loads koffi takes the process with it.
    requireDeflate()
    const slots = this.#slots.splice(0)
    const running: Running[] = []
    let crc = 0
    let length = 0
    yield header
    try {
      for (const block of blocksOf(chunks, level, () => slots.pop() ?? newSlot())) {
        const bytes = block.input.subarray(dictionaryBytes, dictionaryBytes + block.length)
        crc = crc32(bytes, crc)
        length += block.length
        running.push({ block, done: this.#deflate(block) })
        while (running.length >= this.#threads * blocksPerThread || (block.isLast && running.length > 0)) {
          const { block: oldest, done } = running[0]!
          yield oldest.output.subarray(0, await done)
          slots.push(running.shift()!.block)
        }
      }
    } finally {
      // Memory that a thread may still be writing to is not used again.
      this.#slots.push(...slots)
      for (const { done } of running) done.catch(() => undefined)
    }
    yield trailer(crc, length)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]()
  }

  async #deflate(block: Block): Promise<number> {
    const isOnly = block.isLast && block.dictionary === 0
    return isOnly ? compressBlock(block) : (await this.#pool.run(block)).length
  }
}

interface Running {
  readonly block: Block
  readonly done: Promise<number>
}

/** Cuts a stream into blocks; the last one, of which there always is one, may be empty. */
function* blocksOf(chunks: Iterable<Uint8Array>, level: number | undefined, slot: () => Slot): Generator<Block> {
  let current = slot()
  let dictionary = 0
  let length = 0
  for (const chunk of chunks)
    for (let rest = chunk; rest.length > 0;) {
      if (length === blockBytes) {
        const next = slot()
        next.input.set(current.input.subarray(blockBytes), 0)
        yield { ...current, dictionary, length, level, isLast: false }
        current = next
        dictionary = dictionaryBytes
        length = 0
      }
      const piece = rest.subarray(0, blockBytes - length)
      current.input.set(piece, dictionaryBytes + length)
      length += piece.length
      rest = rest.subarray(piece.length)
    }
  yield { ...current, dictionary, length, level, isLast: true }
}

function trailer(crc: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(crc, 0)
  bytes.writeUInt32LE(length % 2 ** 32, 4)
  return bytes
}
