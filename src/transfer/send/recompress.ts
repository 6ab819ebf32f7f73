import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { crc32 } from 'node:zlib'
import { dictionaryBytes } from '../../linux/deflate.ts'
import { type ThreadReply, unpackError } from '../import/job.ts'
import { type Block, type Deflated, type Slot, blockBytes, compressBlock, newSlot } from './block.ts'

/**
 * Gzip (RFC 1952), one member, the same bytes for the same input however many threads there are and in whatever pieces it
 * comes: it is cut every MiB, and each block is compressed apart with the 32 KiB before it as dictionary.
 *
 *     1f 8b 08 00 │ mtime 0 │ 00 ff    no name, no time, OS unknown
 *     deflate block │ 00 00 ff ff      … each ends at a byte (sync flush), the last with the final bit instead
 *     crc32 │ length mod 2^32
 */
const header = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)

const threadsMax = 16
/** Blocks on the way per thread: one being compressed, one waiting, so that no thread waits for the main one. */
const blocksPerThread = 2

/** Compresses one stream after the other on threads, which are started for the first that is longer than a block. */
export class Recompressor implements AsyncDisposable {
  readonly #threads: number
  readonly #workers: DeflateThread[] = []
  readonly #slots: Slot[] = []

  constructor(threads = availableParallelism()) {
    this.#threads = Math.max(1, Math.min(threads, threadsMax))
  }

  /** The compressed stream, in chunks that are valid until the next is asked for. */
  async *gzip(chunks: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const slots = this.#slots.splice(0)
    const running: Running[] = []
    let crc = 0
    let length = 0
    yield header
    try {
      for (const block of blocksOf(chunks, () => slots.pop() ?? newSlot())) {
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
    await Promise.all(this.#workers.map((worker) => worker[Symbol.asyncDispose]()))
  }

  #deflate(block: Block): Promise<number> {
    const isOnly = block.isLast && block.dictionary === 0
    if (isOnly) return Promise.resolve(compressBlock(block))
    let idlest = this.#workers[0]
    for (const worker of this.#workers) if (worker.waiting < (idlest?.waiting ?? 0)) idlest = worker
    if (idlest === undefined || (idlest.waiting > 0 && this.#workers.length < this.#threads)) {
      idlest = new DeflateThread()
      this.#workers.push(idlest)
    }
    return idlest.deflate(block)
  }
}

interface Running {
  readonly block: Block
  readonly done: Promise<number>
}

/** Cuts a stream into blocks; the last one, of which there always is one, may be empty. */
function* blocksOf(chunks: Iterable<Uint8Array>, slot: () => Slot): Generator<Block> {
  let current = slot()
  let dictionary = 0
  let length = 0
  for (const chunk of chunks)
    for (let rest = chunk; rest.length > 0;) {
      if (length === blockBytes) {
        const next = slot()
        next.input.set(current.input.subarray(blockBytes), 0)
        yield { ...current, dictionary, length, isLast: false }
        current = next
        dictionary = dictionaryBytes
        length = 0
      }
      const piece = rest.subarray(0, blockBytes - length)
      current.input.set(piece, dictionaryBytes + length)
      length += piece.length
      rest = rest.subarray(piece.length)
    }
  yield { ...current, dictionary, length, isLast: true }
}

function trailer(crc: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(crc, 0)
  bytes.writeUInt32LE(length % 2 ** 32, 4)
  return bytes
}

/** A worker that answers blocks in the order it was given them. */
class DeflateThread implements AsyncDisposable {
  readonly #worker: Worker
  readonly #waiting: PromiseWithResolvers<number>[] = []

  constructor() {
    const extension = import.meta.filename.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./deflate-thread.${extension}`, import.meta.url))
    this.#worker.on('message', (reply: ThreadReply<Deflated>) => {
      const next = this.#waiting.shift()
      if (reply.kind === 'done') next?.resolve(reply.result.length)
      else next?.reject(reply.kind === 'failed' ? unpackError(reply.error) : new Error('a thread gave up'))
    })
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', (code) => this.#fail(new Error(`a compressing thread stopped with exit code ${code}`)))
  }

  get waiting(): number {
    return this.#waiting.length
  }

  deflate(block: Block): Promise<number> {
    const reply = Promise.withResolvers<number>()
    this.#waiting.push(reply)
    this.#worker.postMessage(block)
    return reply.promise
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }
}
