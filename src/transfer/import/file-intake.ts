import type { VerityDigest } from '../../digest.ts'
import { type Content, inlineMax, noContent } from '../../formats/entry.ts'
import { VerityHasher, verityDigest } from '../../formats/fsverity/verity-digest.ts'
import type { TarBody } from '../../formats/tar/tar-parser.ts'
import type { StagedFile, Staging } from '../../store/transaction/staging.ts'

/** Largest file that is hashed before anything is written, so that one the store holds costs no write at all. */
const bufferedMax = 8 * 1024 * 1024
const zeros = new Uint8Array(1024 * 1024)
/** Shortest run of zeros that is not written. */
const holeBytes = 64 * 1024
const zeroBlock = zeros.subarray(0, holeBytes)

/** Turns file bodies, as they come by in a tar, into content: inline bytes, or objects staged in a transaction. */
export class FileIntake {
  readonly #staging: Staging
  readonly #scratch: Scratch
  #file: SmallFile | LargeFile
  #pending: Pending[] = []
  newObjects = 0
  newBytes = 0

  constructor(staging: Staging, scratch: Scratch) {
    this.#staging = staging
    this.#scratch = scratch
    this.#file = new SmallFile({ stored: 0, size: 0, ranges: undefined }, scratch)
  }

  begin(body: TarBody): void {
    this.#file =
      body.size <= bufferedMax ? new SmallFile(body, this.#scratch) : new LargeFile(body, this.#staging.openFile())
  }

  /** Begins a file without holes of which share() may give parts. */
  beginShared(size: number): void {
    this.#file = new LargeFile({ stored: size, size, ranges: undefined }, this.#staging.openFile())
  }

  /**
   * Takes bytes as data() does, when they also lie at `offset` of an open file, whose blocks may be shared. The file
   * stays open until end().
   */
  share(bytes: Uint8Array, fd: number, offset: number): void {
    if (this.#file instanceof LargeFile) this.#file.share(bytes, fd, offset)
    else this.#file.data(bytes)
  }

  /** Takes the next bytes of the file, which may be kept as they are until settle(). */
  data(bytes: Uint8Array): void {
    this.#file.data(bytes)
  }

  /** Drops the file that was begun, in place of end(): it will not come to its end. */
  abandon(): void {
    if (this.#file instanceof LargeFile) this.#file.staged.drop()
  }

  end(): Content {
    const { size } = this.#file
    if (this.#file instanceof LargeFile) return this.#endLarge(this.#file)
    const bytes = this.#file.bytes()
    if (size === 0) return noContent
    if (size <= inlineMax) return { kind: 'inline', bytes: bytes.slice() }
    const digest = verityDigest(bytes)
    this.#pending.push({ digest, bytes })
    return { kind: 'object', digest, size }
  }

  #endLarge(file: LargeFile): Content {
    const digest = file.finish()
    this.#staging.hold([digest])
    if (this.#staging.has(digest)) file.staged.drop()
    else {
      file.staged.finish(digest)
      this.#count(file.size)
    }
    return { kind: 'object', digest, size: file.size }
  }

  /**
   * Stages the files that end() gathered. One append to the holds covers them all; it must come before the first
   * lookup.
   */
  settle(): void {
    if (this.#pending.length === 0) return
    this.#staging.hold(this.#pending.map(({ digest }) => digest))
    for (const { digest, bytes } of this.#pending) {
      if (!this.#staging.isStored(digest) && this.#staging.stage(digest, bytes)) this.#count(bytes.length)
    }
    this.#pending = []
  }

  #count(bytes: number): void {
    this.newObjects++
    this.newBytes += bytes
  }
}

interface Pending {
  readonly digest: VerityDigest
  readonly bytes: Uint8Array
}

/**
 * Room for files that reach from one piece of the tar into the next. At most one such file is still to be settled while
 * the next one begins, so two buffers serve them all, of one layer after the other; fresh memory would cost more than
 * the copy.
 */
export class Scratch {
  readonly #buffers: Uint8Array[] = []
  #turn = 0

  take(size: number): Uint8Array {
    this.#turn = 1 - this.#turn
    const buffer = (this.#buffers[this.#turn] ??= new Uint8Array(bufferedMax))
    return buffer.subarray(0, size)
  }
}

/** File that fits in memory; most lie in one piece in the caller's buffer and are never copied. */
class SmallFile {
  readonly size: number
  readonly #cursor: RangeCursor
  readonly #scratch: Scratch
  #whole: Uint8Array | undefined
  #copy: Uint8Array | undefined

  constructor(body: TarBody, scratch: Scratch) {
    this.size = body.size
    this.#scratch = scratch
    this.#cursor = new RangeCursor(body)
  }

  data(bytes: Uint8Array): void {
    if (bytes.length === this.size && this.#copy === undefined && this.#cursor.dense) {
      this.#whole = bytes
      return
    }
    this.#copy ??= this.#cursor.dense ? this.#scratch.take(this.size) : new Uint8Array(this.size)
    for (const [offset, piece] of this.#cursor.place(bytes)) this.#copy.set(piece, offset)
  }

  bytes(): Uint8Array {
    return this.#whole ?? this.#copy ?? new Uint8Array(this.size)
  }
}

/** File that goes to disk as it comes, holes included. */
class LargeFile {
  readonly size: number
  readonly staged: StagedFile
  readonly #cursor: RangeCursor
  readonly #hasher = new VerityHasher()
  #position = 0

  constructor(body: TarBody, staged: StagedFile) {
    this.size = body.size
    this.staged = staged
    this.#cursor = new RangeCursor(body)
  }

  data(bytes: Uint8Array): void {
    for (const [offset, piece] of this.#cursor.place(bytes)) {
      this.#skipTo(offset)
      this.#hasher.update(piece)
      this.#write(piece)
      this.#position += piece.length
    }
  }

  /** Writes bytes to disk. Holes of a file that was read from a directory arrive as zeros, and become holes again. */
  #write(piece: Uint8Array): void {
    let written = 0
    for (let at = 0; at + holeBytes <= piece.length; at += holeBytes) {
      if (!isZero(piece, at)) continue
      if (at > written) this.staged.write(piece.subarray(written, at))
      this.staged.hole(holeBytes)
      written = at + holeBytes
    }
    if (written < piece.length) this.staged.write(written === 0 ? piece : piece.subarray(written))
  }

  share(bytes: Uint8Array, fd: number, offset: number): void {
    let at = offset
    for (const [place, piece] of this.#cursor.place(bytes)) {
      this.#skipTo(place)
      this.#hasher.update(piece)
      this.staged.share(piece, fd, at)
      this.#position += piece.length
      at += piece.length
    }
  }

  finish(): VerityDigest {
    this.#skipTo(this.size)
    this.staged.endShare()
    return this.#hasher.digest()
  }

  #skipTo(offset: number): void {
    if (offset === this.#position) return
    this.staged.hole(offset - this.#position)
    while (this.#position < offset) {
      const hole = zeros.subarray(0, Math.min(zeros.length, offset - this.#position))
      this.#hasher.update(hole)
      this.#position += hole.length
    }
  }
}

/** Places the stored bytes of a body in its file. The parser has checked the ranges: sorted, inside the file. */
class RangeCursor {
  readonly dense: boolean
  readonly #ranges: readonly (readonly [offset: number, length: number])[]
  #range = 0
  #within = 0

  constructor({ size, ranges }: TarBody) {
    this.dense = ranges === undefined
    this.#ranges = ranges ?? [[0, size]]
  }

  *place(bytes: Uint8Array): Generator<[offset: number, piece: Uint8Array]> {
    let rest = bytes
    while (rest.length > 0) {
      const [offset, length] = this.#ranges[this.#range] ?? [0, 0]
      const piece = rest.subarray(0, length - this.#within)
      if (piece.length > 0) yield [offset + this.#within, piece]
      rest = rest.subarray(piece.length)
      this.#within += piece.length
      if (this.#within < length) continue
      this.#range++
      this.#within = 0
      if (this.#range >= this.#ranges.length) return
    }
  }
}

/** Tells whether a block is zeros. It looks at a few bytes first: almost nothing is zeros. */
function isZero(bytes: Uint8Array, at: number): boolean {
  if (bytes[at] !== 0 || bytes[at + holeBytes / 2] !== 0 || bytes[at + holeBytes - 1] !== 0) return false
  return Buffer.compare(bytes.subarray(at, at + holeBytes), zeroBlock) === 0
}
