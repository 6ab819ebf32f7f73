/**
 * Cuts files where the content says so, exactly as containers/storage does for zstd:chunked, so that chunks of images
 * from either are found again in those of the other.
 *
 *     rolling sum   of the last 64 bytes, as in bup: a = Σ byte, b = Σ weight × byte; a cut after every byte at which the low
 *                   16 bits of b are ones: every 64 KiB on average, with no least or largest distance
 *     holes         1024 zeros in a row or more are a chunk of their own; the sum rolls over them, which leaves it as it
 *                   was at the beginning of the file
 */

/** Receiver of a file from beginning to end. Chunks are never empty. */
export interface ChunkSink {
  /** Takes the next bytes of the current chunk; the memory is the caller's. */
  data(bytes: Uint8Array): void
  /** Takes a whole chunk of so many zeros. */
  hole(length: number): void
  /** Ends the current chunk. */
  cut(): void
}

const windowBytes = 64
const cutMask = 0xffff
const startSum = windowBytes * (windowBytes - 1) * 31
const minHole = 1024
const zeros = new Uint8Array(minHole)

export class RollsumChunker {
  readonly #sink: ChunkSink
  /** Last bytes that were rolled in, oldest first. */
  readonly #window = new Uint8Array(windowBytes)
  /** The sums a and b. */
  readonly #sums = new Int32Array([0, startSum])
  /** Number of bytes of the current chunk that the sink has. */
  #length = 0
  /** Number of zeros at the end of what was written: whether they are a hole is not known yet. */
  #zeros = 0

  constructor(sink: ChunkSink) {
    this.#sink = sink
  }

  write(bytes: Uint8Array): void {
    let from = 0
    if (this.#zeros > 0) {
      while (from < bytes.length && bytes[from] === 0) from++
      this.#zeros += from
      if (from === bytes.length) return
      this.#settleZeros()
    }
    while (from < bytes.length) {
      const start = holeAfter(bytes, from)
      let end = start
      while (end < bytes.length && bytes[end] === 0) end++
      this.#roll(bytes, from, start)
      if (end === bytes.length) this.#zeros = end - start
      else this.#hole(end - start)
      from = end
    }
  }

  /** Ends the file; the chunker is then ready for the next. */
  end(): void {
    if (this.#zeros > 0) this.#settleZeros()
    if (this.#length > 0) this.#cut()
    this.#restart()
  }

  #settleZeros(): void {
    const length = this.#zeros
    this.#zeros = 0
    if (length >= minHole) this.#hole(length)
    else this.#roll(zeros, 0, length)
  }

  #hole(length: number): void {
    if (this.#length > 0) this.#cut()
    this.#sink.hole(length)
    this.#restart()
  }

  #restart(): void {
    this.#sums[0] = 0
    this.#sums[1] = startSum
    this.#window.fill(0)
  }

  #cut(): void {
    this.#length = 0
    this.#sink.cut()
  }

  /** Rolls bytes in. The byte that leaves the window comes from the window first, then from the bytes themselves. */
  #roll(bytes: Uint8Array, from: number, to: number): void {
    const early = Math.min(to, from + windowBytes)
    let start = from
    for (let at = from; at < to;) {
      const [dropped, lag, end] = at < early ? [this.#window, from, early] : [bytes, windowBytes, to]
      at = nextCut(bytes, dropped, at, end, lag, this.#sums)
      if ((this.#sums[1]! & cutMask) !== cutMask) continue
      this.#pass(bytes, start, at)
      this.#cut()
      start = at
    }
    this.#pass(bytes, start, to)
    const kept = Math.min(to - from, windowBytes)
    this.#window.copyWithin(0, kept)
    this.#window.set(bytes.subarray(to - kept, to), windowBytes - kept)
  }

  #pass(bytes: Uint8Array, from: number, to: number): void {
    if (from === to) return
    this.#length += to - from
    this.#sink.data(bytes.subarray(from, to))
  }
}

/**
 * Rolls bytes in up to the next cut or to `end`, and returns where it stopped: behind the last byte rolled. The byte at
 * i drives out `dropped[i - lag]`. It is a function of its own, with everything in locals: this loop is what chunking
 * costs.
 */
function nextCut(
  bytes: Uint8Array,
  dropped: Uint8Array,
  from: number,
  end: number,
  lag: number,
  sums: Int32Array,
): number {
  let a = sums[0]!
  let b = sums[1]!
  let i = from
  while (i < end) {
    const drop = dropped[i - lag]!
    a = (a + (bytes[i]! - drop)) | 0
    b = (b + (a - (drop << 6))) | 0
    i++
    if ((b & cutMask) === cutMask) break
  }
  sums[0] = a
  sums[1] = b
  return i
}

/**
 * Returns where the next run of zeros begins that is a hole, or reaches the end and may become one. A hole covers every
 * 1024th byte at least once, so most bytes need no look.
 */
function holeAfter(bytes: Uint8Array, from: number): number {
  let floor = from
  for (let probe = from + minHole - 1; probe < bytes.length; probe += minHole) {
    if (bytes[probe] !== 0) continue
    const start = runStart(bytes, probe, floor)
    let end = probe + 1
    while (end < bytes.length && bytes[end] === 0) end++
    if (end - start >= minHole || end === bytes.length) return start
    floor = end
    probe = end - 1
  }
  return runStart(bytes, bytes.length, floor)
}

function runStart(bytes: Uint8Array, end: number, floor: number): number {
  let start = end
  while (start > floor && bytes[start - 1] === 0) start--
  return start
}
