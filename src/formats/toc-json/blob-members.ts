/**
 * Writes the blob of a layer with a table: gzip members, or zstd frames, that can each be decoded alone. Each depends
 * on nothing but its own bytes, so they may be compressed at the same time, and the blob is the same however that was
 * done.
 */
/** Makes one gzip member, or one zstd frame, of these bytes; the same for the same bytes. */
export type Compress = (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>

/** Is told where in the blob something begins. */
export type OnOffset = (offset: number) => void

interface Member {
  readonly bytes: Uint8Array
  readonly marks: readonly OnOffset[]
}

/**
 * Longest member; longer ones are written as several in a row, which decoders take for one: no writer needs more memory
 * at once.
 */
const maxMemberBytes = 8 * 2 ** 20
const firstBytes = 16 * 1024

/** Gathers the bytes of members. */
export class MemberBuffer {
  readonly #ready: Member[] = []
  #bytes = Buffer.allocUnsafe(firstBytes)
  #length = 0
  #marks: OnOffset[] = []

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = bytes.subarray(at, at + maxMemberBytes - this.#length)
      this.#reserve(this.#length + part.length)
      this.#bytes.set(part, this.#length)
      this.#length += part.length
      at += part.length
      if (this.#length === maxMemberBytes) this.cut()
    }
  }

  /** Ends the current member: what comes next begins another one. */
  cut(): void {
    if (this.#length === 0) return
    this.#ready.push({ bytes: Uint8Array.prototype.slice.call(this.#bytes, 0, this.#length), marks: this.#marks })
    this.#length = 0
    this.#marks = []
  }

  /** Asks to be told where the current member begins. */
  mark(onOffset: OnOffset): void {
    this.#marks.push(onOffset)
  }

  take(): Member[] {
    return this.#ready.splice(0)
  }

  /** Returns the marks behind the last member: where the blob goes on. */
  takeMarks(): readonly OnOffset[] {
    return this.#marks.splice(0)
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.min(maxMemberBytes, Math.max(length, this.#bytes.length * 2)))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Least length of yielded pieces, but for the last. */
const pieceBytes = 64 * 1024
/** Most bytes that are with the compressor together, unless it is a single member. */
const aheadBytes = 16 * 2 ** 20

/** Members with the compressor at a time unless told otherwise; what counts before that are their bytes. */
const membersAhead = 4096

/** Compresses members, several ahead, and gives the blob in order. */
export class BlobWriter {
  readonly #compress: Compress
  readonly #ahead: number
  readonly #running: { readonly member: Member; readonly result: Uint8Array | Promise<Uint8Array> }[] = []
  #out: Uint8Array[] = []
  #outBytes = 0
  #runningBytes = 0
  size = 0

  constructor(compress: Compress, ahead = membersAhead) {
    this.#compress = compress
    this.#ahead = ahead
  }

  async *write(members: readonly Member[]): AsyncGenerator<Uint8Array> {
    for (const member of members) {
      const result = this.#compress(member.bytes)
      // One that fails is awaited in its turn; until then nobody listens.
      if (result instanceof Promise) result.catch(() => {})
      this.#running.push({ member, result })
      this.#runningBytes += member.bytes.length
      while (this.#running.length > this.#ahead || this.#runningBytes > aheadBytes) await this.#finishOne()
      if (this.#outBytes >= pieceBytes) yield this.#take()
    }
  }

  /** Yields everything up to the end of the members, and tells the marks behind them. */
  async *flush(members: MemberBuffer): AsyncGenerator<Uint8Array> {
    members.cut()
    yield* this.write(members.take())
    while (this.#running.length > 0) await this.#finishOne()
    for (const mark of members.takeMarks()) mark(this.size)
    if (this.#outBytes > 0) yield this.#take()
  }

  /** Counts bytes that go into the blob as they are. */
  add(bytes: Uint8Array): Uint8Array {
    this.size += bytes.length
    return bytes
  }

  async #finishOne(): Promise<void> {
    const { member, result } = this.#running.shift()!
    const bytes = result instanceof Promise ? await result : result
    this.#runningBytes -= member.bytes.length
    for (const mark of member.marks) mark(this.size)
    this.#out.push(this.add(bytes))
    this.#outBytes += bytes.length
  }

  #take(): Uint8Array {
    const out = this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out)
    this.#out = []
    this.#outBytes = 0
    return out
  }
}
