import { DigestCheck } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Coding, TocLayer, Unit } from '../../formats/toc.ts'
import { gunzipFrom } from '../../codecs/gzip-index.ts'
import { type Decoder, copier, gunzip, unzstd } from '../../codecs/zlib.ts'
import { type Arena, pieceMax } from './arena.ts'
import type { Fetched } from './range-queue.ts'

/** Decoded bytes that nobody wants. */
const waste = new Uint8Array(64 * 1024)

export interface UnitOptions {
  readonly arena: Arena
  /** The next bytes of the blob that were asked for; undefined when there are no more. */
  readonly next: () => Promise<Fetched | undefined>
  readonly zstdWindowLog: number
}

/** Decodes units of a blob from front to back, as far into each as is wanted. */
export class UnitReader implements Disposable {
  readonly #toc: TocLayer
  readonly #options: UnitOptions
  /** The two latest answers: a unit may begin in the last byte of the one before. */
  #segments: Fetched[] = []
  #open: OpenUnit | undefined

  constructor(toc: TocLayer, options: UnitOptions) {
    this.#toc = toc
    this.#options = options
  }

  /** `length` bytes from `skip` of what the unit decodes to, behind all that was read before; good until the arena wraps. */
  async *read(index: number, skip: number, length: number): AsyncGenerator<Uint8Array> {
    const unit = this.#open?.index === index ? this.#open : await this.#begin(index)
    while (unit.position < skip) await this.#fill(unit, waste.subarray(0, Math.min(waste.length, skip - unit.position)))
    for (let done = 0; done < length;) {
      const piece = this.#options.arena.claim(Math.min(pieceMax, length - done))
      await this.#fill(unit, piece)
      yield piece
      done += piece.length
    }
  }

  /** Checks what is left to check of the last unit. */
  async finish(): Promise<void> {
    const unit = this.#open
    this.#open = undefined
    if (unit === undefined) return
    unit.decoder[Symbol.dispose]()
    if (unit.check === undefined) return
    while (unit.at < unit.unit.end) await this.#input(unit)
    unit.check.finish(`part ${unit.index} of a layer`)
  }

  [Symbol.dispose](): void {
    this.#open?.decoder[Symbol.dispose]()
    this.#open = undefined
  }

  async #begin(index: number): Promise<OpenUnit> {
    await this.finish()
    const unit = this.#toc.units[index]
    if (unit === undefined) throw damaged(index, 'it is not in the table')
    const decoder = decoderOf(unit.coding, this.#options.zstdWindowLog)
    const check = unit.digest === undefined ? undefined : new DigestCheck(unit.digest)
    this.#open = { index, unit, decoder, check, at: unit.start, input: waste.subarray(0, 0), position: 0 }
    return this.#open
  }

  async #fill(unit: OpenUnit, room: Uint8Array): Promise<void> {
    for (let filled = 0; filled < room.length;) {
      const { consumed, produced } = unit.decoder.step(unit.input, room.subarray(filled))
      unit.input = unit.input.subarray(consumed)
      filled += produced
      if (consumed > 0 || produced > 0) continue
      if (unit.input.length > 0) throw damaged(unit.index, 'the decoder is stuck')
      if (unit.at === unit.unit.end) throw damaged(unit.index, 'it ends before the files that it should hold')
      unit.input = await this.#input(unit)
    }
    unit.position += room.length
  }

  /** The next bytes of the unit as they lie in the blob. */
  async #input(unit: OpenUnit): Promise<Uint8Array> {
    const { start, bytes } = await this.#segmentAt(unit.at)
    const input = bytes.subarray(unit.at - start, unit.unit.end - start)
    unit.at += input.length
    unit.check?.update(input)
    return input
  }

  async #segmentAt(at: number): Promise<Fetched> {
    for (;;) {
      const found = this.#segments.find(({ start, bytes }) => at >= start && at < start + bytes.length)
      if (found !== undefined) return found
      const next = await this.#options.next()
      if (next === undefined) throw new Error(`byte ${at} of the blob was not asked for`)
      this.#segments = [...this.#segments.slice(-1), next]
    }
  }
}

interface OpenUnit {
  readonly index: number
  readonly unit: Unit
  readonly decoder: Decoder
  readonly check: DigestCheck | undefined
  /** Of the next byte to take from the blob. */
  at: number
  /** Taken and not decoded yet. */
  input: Uint8Array
  /** Bytes decoded so far. */
  position: number
}

function decoderOf(coding: Coding, zstdWindowLog: number): Decoder {
  switch (coding.kind) {
    case 'gzip':
      return gunzip()
    case 'zstd':
      return unzstd(zstdWindowLog)
    case 'stored':
      return copier()
    case 'deflate':
      return gunzipFrom(coding.bits, coding.window)
  }
}

function damaged(index: number, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decode part ${index} of a layer: ${found}`)
}
