/**
 * Hands out the blocks of an index as mkfs.erofs does: where a record lands decides its number, and with it the bytes of
 * every directory that names it.
 *
 * Records share *runs* of blocks. A run has no place in the image at first, so that it can grow; it gets one when the number
 * of a record in it is needed, and those made before it get theirs first. A record goes to the run whose last block it fills
 * most, rather to one that has its place than to one that has not, and begins a run only if it fits into none. The tail of a
 * record lies right behind it, in the block that the record ends in.
 */
import { align } from '../erofs/erofs-records.ts'

export const blockBits = 9
export const blockSize = 1 << blockBits

/** Blocks in a row. */
export class Run {
  readonly holds: 'records' | 'data'
  /** The first block in the image; undefined as long as the run has no place. */
  start: number | undefined
  blocks = 0
  /** Bytes that are taken. */
  used = 0

  constructor(holds: Run['holds']) {
    this.holds = holds
  }
}

/** Place of a record. */
export interface Place {
  readonly run: Run
  /** Its first byte in the run. */
  readonly at: number
}

export class RecordBlocks {
  /** Runs that have a place, in the order of the image. */
  readonly #placed: Run[] = []
  /** Runs without a place, in the order in which they get one. */
  readonly #waiting: Run[] = []
  readonly #placedByFill = new RunsByFill()
  readonly #waitingByFill = new RunsByFill()
  #count = 0

  /** @param bytes that are taken at the beginning of the image */
  constructor(bytes: number) {
    this.#take(this.#begin('records'), 0, bytes)
    this.placeAll()
  }

  /** Blocks of the image, as far as runs have places. */
  get count(): number {
    return this.#count
  }

  /** Finds a place for a record, at a multiple of `unit`. */
  addRecord(bytes: number, unit: number): Place {
    const run = this.#find(bytes, 0, unit) ?? this.#begin('records')
    return this.#put(run, bytes, unit)
  }

  /** Finds a place for a record and its tail; undefined where the tail cannot be in the block that the record ends in. */
  addWithTail(bytes: number, tail: number, unit: number): Place | undefined {
    // A run that was begun for what does not fit stays, without a block.
    const run = this.#find(bytes, tail, unit) ?? this.#begin('records')
    return this.#fillWith(run, bytes, tail, unit) === undefined ? undefined : this.#put(run, bytes + tail, unit)
  }

  /** Begins data, which has its place before all runs that wait. */
  addData(bytes: number): Run {
    const run = new Run('data')
    this.#waiting.unshift(run)
    return this.#beginData(run, bytes)
  }

  /** Begins the blocks of a directory, which have their place behind all runs that wait. */
  addDirectory(bytes: number): Run {
    return this.#beginData(this.#begin('data'), bytes)
  }

  /** Adds a block to data, or to a directory, that was begun last. */
  addBlock(data: Run): void {
    this.#grow(data, data.used + blockSize)
  }

  /** Ends data or a directory: nothing is added to it any more. */
  endData(data: Run): void {
    this.#placed.splice(this.#placed.lastIndexOf(data), 1)
  }

  /** Gives a run its place. */
  place(run: Run): void {
    if (run.start === undefined) this.#placeFirst(this.#waiting.indexOf(run) + 1)
  }

  placeAll(): void {
    this.#placeFirst(this.#waiting.length)
  }

  #begin(holds: Run['holds']): Run {
    const run = new Run(holds)
    this.#waiting.push(run)
    return run
  }

  #beginData(run: Run, bytes: number): Run {
    this.#grow(run, bytes)
    this.place(run)
    return run
  }

  #placeFirst(count: number): void {
    for (const run of this.#waiting.splice(0, count)) {
      this.#waitingByFill.remove(run)
      run.start = this.#count
      this.#count += run.blocks
      this.#placed.push(run)
      if (run.holds === 'records') this.#placedByFill.add(run)
    }
  }

  #put(run: Run, bytes: number, unit: number): Place {
    const at = align(run.used, unit)
    this.#take(run, at, bytes)
    return { run, at }
  }

  #take(run: Run, at: number, bytes: number): void {
    const runs = run.start === undefined ? this.#waitingByFill : this.#placedByFill
    runs.remove(run)
    this.#grow(run, at + bytes)
    runs.add(run)
  }

  #grow(run: Run, used: number): void {
    const endsImage = this.#endsImage(run)
    run.used = used
    run.blocks = Math.max(run.blocks, Math.ceil(used / blockSize))
    if (endsImage && run.start !== undefined) this.#count = run.start + run.blocks
  }

  /** Whether a run with a place can get more blocks. */
  #endsImage({ start, blocks }: Run): boolean {
    return start !== undefined && start + blocks === this.#count
  }

  #find(bytes: number, tail: number, unit: number): Run | undefined {
    const size = bytes + tail
    const best = new FullestRun((run) => this.#fillWith(run, bytes, tail, unit))
    // So much of its last block a run may have taken for all of it to end in that block.
    const fill = Math.floor((blockSize - (size % blockSize)) / unit) * unit
    if (size < blockSize) this.#findForSmall(best, fill, unit)
    else this.#findForLarge(best, fill)
    return best.run
  }

  #findForSmall(best: FullestRun, fill: number, unit: number): void {
    const last = this.#placed.at(-1)
    best.takeFirst(this.#placedByFill.fromFullest(fill, 1, last))
    if (last?.holds === 'records') best.take(last)
    if (!best.takeFirst(this.#waitingByFill.fromFullest(fill, 0)))
      best.takeFirst(this.#waitingByFill.fromFullest(blockSize - 1, fill + unit))
  }

  /** Looks where a record of more than a block can grow, and nowhere else. */
  #findForLarge(best: FullestRun, fill: number): void {
    if (fill < blockSize) best.takeFirst(this.#waitingByFill.fromFullest(fill, 1))
    else if (!best.takeFirst(this.#waitingByFill.fromFullest(0, 0)))
      best.takeFirst(this.#waitingByFill.fromFullest(blockSize - 1, 1))
  }

  /** Counts what a run would have taken of its last block; undefined where the record and its tail do not fit. */
  #fillWith(run: Run, bytes: number, tail: number, unit: number): number | undefined {
    const end = align(run.used, unit) + bytes
    const fill = ((end - 1) % blockSize) + 1 + tail
    if (fill > blockSize) return undefined
    const canGrow = run.start === undefined || (run === this.#placed.at(-1) && this.#endsImage(run))
    return canGrow || end + tail <= run.blocks * blockSize ? fill : undefined
  }
}

/** The one of several runs whose last block would be the fullest; the first of those that are alike. */
class FullestRun {
  readonly #fillOf: (run: Run) => number | undefined
  #fill = 0
  run: Run | undefined

  constructor(fillOf: (run: Run) => number | undefined) {
    this.#fillOf = fillOf
  }

  /** Considers a run; says whether the record would fit into it. */
  take(run: Run): boolean {
    const fill = this.#fillOf(run)
    if (fill === undefined) return false
    if (fill > this.#fill) {
      this.#fill = fill
      this.run = run
    }
    return true
  }

  takeFirst(runs: Iterable<Run>): boolean {
    for (const run of runs) if (this.take(run)) return true
    return false
  }
}

/** Runs by how much of their last block is taken; those that are alike in the order in which they came to it. */
class RunsByFill {
  readonly #runs: readonly Set<Run>[] = Array.from({ length: blockSize }, () => new Set<Run>())
  /** A bit for each set that is not empty. */
  readonly #used = new Uint32Array(blockSize / 32)

  add(run: Run): void {
    const fill = run.used % blockSize
    this.#runs[fill]?.add(run)
    this.#used[fill >> 5]! |= 1 << (fill & 31)
  }

  remove(run: Run): void {
    const fill = run.used % blockSize
    const runs = this.#runs[fill]
    if (runs?.delete(run) === true && runs.size === 0) this.#used[fill >> 5]! &= ~(1 << (fill & 31))
  }

  /** Yields a run for each fill from `from` down to `to`, and never `other`. */
  *fromFullest(from: number, to: number, other?: Run): Generator<Run> {
    for (let fill = this.#nextUsed(from); fill >= to; fill = this.#nextUsed(fill - 1))
      for (const run of this.#runs[fill] ?? [])
        if (run !== other) {
          yield run
          break
        }
  }

  /** Finds the highest fill up to `fill` that some run has; -1 where there is none. */
  #nextUsed(fill: number): number {
    for (let word = fill >> 5, mask = -1 >>> (31 - (fill & 31)); word >= 0; word--, mask = -1) {
      const bits = (this.#used[word] ?? 0) & mask
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits)
    }
    return -1
  }
}
