import { decoderOf } from '../codecs/decoder-of.ts'
import { Drain } from '../codecs/codec.ts'
import { OnefoldError } from '../error.ts'
import type { ContentIndex, Unit } from '../formats/content-index.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { type Arena, pieceMax } from './arena.ts'
import { ContentCheck } from './content-check.ts'
import type { BlobPart, RangeSource } from './range-source.ts'

/** Room for decoded bytes that nobody wants. */
const waste = new Uint8Array(64 * 1024)

export interface UnitOptions {
  readonly arena: Arena
  readonly ranges: RangeSource
  /** Largest zstd window that is accepted, as a power of two. */
  readonly zstdWindowLog: number
}

/**
 * Decodes units of an index, in any order: a read that lies behind the last one in the same unit goes on from there,
 * any other starts at the unit's beginning. Bytes of a unit that has digests of its own are verified by `finish`, or
 * when another unit is begun; nothing that was read may be relied on before.
 */
export class UnitReader implements Disposable {
  readonly #index: ContentIndex
  readonly #options: UnitOptions
  /** Latest two parts that were fetched: a unit may begin in the last byte of the one before. */
  #parts: (BlobPart & { readonly blob: Descriptor })[] = []
  #open: OpenUnit | undefined

  constructor(index: ContentIndex, options: UnitOptions) {
    this.#index = index
    this.#options = options
  }

  /** Reads `length` bytes from `skip` of what a unit decodes to, in pieces that are good until the arena wraps. */
  async *read(index: number, skip: number, length: number): AsyncGenerator<Uint8Array> {
    const known = this.#open
    const unit = known?.index === index && known.position <= skip ? known : await this.#begin(index)
    while (unit.position < skip) await this.#fill(unit, waste.subarray(0, Math.min(waste.length, skip - unit.position)))
    for (let done = 0; done < length;) {
      const piece = this.#options.arena.claim(Math.min(pieceMax, length - done))
      await this.#fill(unit, piece)
      yield piece
      done += piece.length
    }
  }

  /** Verifies the rest of the last unit: throws DIGEST_MISMATCH when its bytes are not those of the index. */
  async finish(): Promise<void> {
    const unit = this.#open
    this.#open = undefined
    if (unit === undefined) return
    unit.drain[Symbol.dispose]()
    if (unit.check === undefined) return
    while (unit.at < unit.unit.end) await this.#input(unit)
    unit.check.finish()
  }

  [Symbol.dispose](): void {
    this.#open?.drain[Symbol.dispose]()
    this.#open = undefined
  }

  async #begin(index: number): Promise<OpenUnit> {
    await this.finish()
    const unit = this.#index.units[index]
    const blob = unit && this.#index.blobs[unit.blob]
    if (unit === undefined || blob === undefined) throw damaged(index, 'it is not in the index')
    const what = `part ${index} of a layer`
    const drain = new Drain(decoderOf(unit.coding, this.#options.zstdWindowLog), what)
    const check = ContentCheck.of(unit.digests, what)
    this.#open = { index, unit, blob, drain, check, at: unit.start, position: 0 }
    return this.#open
  }

  async #fill(unit: OpenUnit, room: Uint8Array): Promise<void> {
    for (let filled = 0; filled < room.length;) {
      const produced = unit.drain.read(filled === 0 ? room : room.subarray(filled))
      filled += produced
      if (produced > 0) continue
      if (unit.at === unit.unit.end) throw damaged(unit.index, 'it ends before the files that it should hold')
      unit.drain.give(await this.#input(unit))
    }
    unit.position += room.length
  }

  /** Returns the next bytes of the unit as they lie in the blob. */
  async #input(unit: OpenUnit): Promise<Uint8Array> {
    const { start, bytes } = await this.#partAt(unit)
    const input = bytes.subarray(unit.at - start, unit.unit.end - start)
    unit.at += input.length
    unit.check?.update(input)
    return input
  }

  async #partAt({ blob, at, unit }: OpenUnit): Promise<BlobPart> {
    const known = this.#parts.find(
      (part) => part.blob === blob && at >= part.start && at < part.start + part.bytes.length,
    )
    if (known !== undefined) return known
    const part = { ...(await this.#options.ranges.fetch(blob, at, unit.end)), blob }
    this.#parts = [...this.#parts.slice(-1), part]
    return part
  }
}

interface OpenUnit {
  readonly index: number
  readonly unit: Unit
  readonly blob: Descriptor
  readonly drain: Drain
  readonly check: ContentCheck | undefined
  /** Offset in the blob of the next byte to take. */
  at: number
  /** Number of bytes decoded so far. */
  position: number
}

function damaged(index: number, found: string): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot decode part ${index} of a layer: ${found}`)
}
