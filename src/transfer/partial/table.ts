import { OnefoldError, hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/entry.ts'
import type { TocLayer } from '../../formats/toc.ts'
import { type TocNeed, openToc } from '../../formats/toc/open.ts'
import type { Source } from '../../sources/source.ts'
import type { ByteSpan } from './ranges.ts'

/** A table, or why there is none to go by. */
export type TableReading =
  | { readonly toc: TocLayer; readonly cost: TableCost }
  | { readonly toc: undefined; readonly why: string }

/** What reading the table took. */
export interface TableCost {
  readonly bytes: number
  readonly requests: number
}

/** A footer says where its table begins: so much of the blob is read with it, as the table may be in there already. */
const tailShare = 1 / 64
const tailMin = 8 * 1024
const tailMax = 256 * 1024

export interface TableOptions {
  /** Also what no digest in the manifest binds. */
  readonly unbound: boolean
  readonly maxEntries: number
  readonly signal: AbortSignal | undefined
}

/** Reads the table of a layer; what is wrong with one is no error here, since the layer can be pulled whole. */
export async function readTable(source: Source, layer: Descriptor, options: TableOptions): Promise<TableReading> {
  const blob = new BlobParts(source, layer, options.signal)
  try {
    const { unbound, maxEntries } = options
    const reading = openToc(layer, { unbound, maxEntries })
    let step = reading.next()
    while (step.done !== true) step = reading.next(await answer(blob, step.value))
    if (step.value === undefined) return { toc: undefined, why: 'it has no table of contents' }
    return { toc: step.value, cost: blob.cost }
  } catch (error) {
    if (!isUseless(error)) throw error
    return { toc: undefined, why: error.message }
  }
}

/** What makes a table useless, other than a network that fails. */
function isUseless(error: unknown): error is Error {
  const codes = ['BAD_FORMAT', 'DIGEST_MISMATCH', 'LIMIT', 'UNSUPPORTED', 'NOT_FOUND'] as const
  return codes.some((code) => hasCode(error, code))
}

async function answer(blob: BlobParts, need: TocNeed): Promise<Uint8Array> {
  if (need.kind === 'range') return await blob.read(need)
  throw new OnefoldError('UNSUPPORTED', 'Cannot read a table of contents: it lies in an image of its own')
}

/** Parts of a blob's end, kept so that the next question may find its answer there. */
class BlobParts {
  cost: TableCost = { bytes: 0, requests: 0 }
  readonly #source: Source
  readonly #layer: Descriptor
  readonly #signal: AbortSignal | undefined
  #tail: { readonly start: number; readonly bytes: Uint8Array } | undefined

  constructor(source: Source, layer: Descriptor, signal: AbortSignal | undefined) {
    this.#source = source
    this.#layer = layer
    this.#signal = signal
  }

  async read({ start, end }: ByteSpan): Promise<Uint8Array> {
    const tail = this.#tail
    if (tail !== undefined && start >= tail.start) return tail.bytes.subarray(start - tail.start, end - tail.start)
    const { size } = this.#layer
    if (end < size) {
      // What is known of the end need not come again.
      if (tail === undefined || end <= tail.start) return await this.#fetch(start, end)
      const before = await this.#fetch(start, tail.start)
      return Buffer.concat([before, tail.bytes.subarray(0, end - tail.start)])
    }
    const guess = Math.min(tailMax, Math.max(tailMin, Math.round(size * tailShare)))
    const from = Math.max(0, Math.min(start, size - guess))
    const bytes = await this.#fetch(from, size)
    this.#tail = { start: from, bytes }
    return bytes.subarray(start - from)
  }

  async #fetch(start: number, end: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - start)
    let filled = 0
    const options = { offset: start, end, exact: true, signal: this.#signal }
    for await (const chunk of this.#source.blob(this.#layer, options)) {
      bytes.set(chunk, filled)
      filled += chunk.length
    }
    this.cost = { bytes: this.cost.bytes + bytes.length, requests: this.cost.requests + 1 }
    return bytes
  }
}
