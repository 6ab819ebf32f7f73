import { checkDigest } from '../../digest.ts'
import { OnefoldError, hasCode } from '../../error.ts'
import type { Descriptor } from '../../formats/entry.ts'
import { parseArtifact } from '../../formats/oci/manifest.ts'
import { readSociLayer } from '../../formats/soci/read-soci.ts'
import type { TocLayer } from '../../formats/toc.ts'
import { defaultTocLimits, tooLarge } from '../../formats/toc-json/toc-json.ts'
import { stargzLayerDigest } from '../../formats/toc-json/toc-annotations.ts'
import { type TocNeed, openToc } from '../../formats/toc-json/open-toc.ts'
import type { Source } from '../../sources/source.ts'
import type { ByteSpan } from './join-ranges.ts'
import type { ZtocPlace } from './find-ztocs.ts'

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
  /** A table that lies beside the layer. */
  readonly ztoc: ZtocPlace | undefined
  readonly signal: AbortSignal | undefined
}

/** Reads the table of a layer; what is wrong with one is no error here, since the layer can be pulled whole. */
export async function readTable(source: Source, layer: Descriptor, options: TableOptions): Promise<TableReading> {
  const blob = new BlobParts(source, layer, options.signal)
  try {
    const { unbound, maxEntries } = options
    const reading = openToc(layer, { unbound, maxEntries })
    let step = reading.next()
    while (step.done !== true) step = reading.next(await answer(source, blob, step.value, options))
    if (step.value !== undefined) return { toc: step.value, cost: blob.cost }
    if (options.ztoc !== undefined) return await readZtoc(source, layer, options.ztoc, options)
    return { toc: undefined, why: 'it has no table of contents' }
  } catch (error) {
    if (!isUseless(error)) throw error
    return { toc: undefined, why: error.message }
  }
}

async function readZtoc(
  source: Source,
  layer: Descriptor,
  { blob, bound }: ZtocPlace,
  options: TableOptions,
): Promise<TableReading> {
  const limits = { ...defaultTocLimits, maxEntries: options.maxEntries }
  const parts = new BlobParts(source, blob, options.signal)
  const bytes = await readWhole(parts, blob, 'a zTOC')
  return { toc: readSociLayer(bytes, layer, { bound }, limits), cost: parts.cost }
}

/** What makes a table useless, other than a network that fails. */
function isUseless(error: unknown): error is Error {
  const codes = ['BAD_FORMAT', 'DIGEST_MISMATCH', 'LIMIT', 'UNSUPPORTED', 'NOT_FOUND'] as const
  return codes.some((code) => hasCode(error, code))
}

async function answer(source: Source, blob: BlobParts, need: TocNeed, options: TableOptions): Promise<Uint8Array> {
  if (need.kind === 'range') return await blob.read(need)
  const table = await findExternalToc(source, blob.layer, options.signal)
  const parts = new BlobParts(source, table, options.signal)
  const bytes = await readWhole(parts, table, 'a table of contents')
  blob.cost = { bytes: blob.cost.bytes + parts.cost.bytes, requests: blob.cost.requests + parts.cost.requests }
  return bytes
}

/** The tables of an image's layers lie in an image of their own, whose tag has this at its end. */
const externalSuffix = '-esgztoc'

async function findExternalToc(
  source: Source,
  layer: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const tables = await source.related?.({ tagSuffix: externalSuffix }, { signal })
  const document = tables && parseArtifact(tables.bytes, tables.descriptor)
  const blobs = document?.kind === 'manifest' ? document.layers : []
  const found = blobs.find(({ annotations }) => annotations?.[stargzLayerDigest] === layer.digest)
  if (found !== undefined) return found
  throw new OnefoldError(
    'NOT_FOUND',
    `Cannot find the table of contents of layer ${layer.digest}: it has one of its own, and there is no image tagged …${externalSuffix} that holds it`,
  )
}

async function readWhole(parts: BlobParts, { digest, size }: Descriptor, what: string): Promise<Uint8Array> {
  if (size > defaultTocLimits.maxTocBytes) throw tooLarge(what, size, defaultTocLimits)
  const bytes = await parts.read({ start: 0, end: size })
  checkDigest(bytes, digest, what)
  return bytes
}

/** Parts of a blob's end, kept so that the next question may find its answer there. */
class BlobParts {
  cost: TableCost = { bytes: 0, requests: 0 }
  readonly #source: Source
  readonly layer: Descriptor
  readonly #signal: AbortSignal | undefined
  #tail: { readonly start: number; readonly bytes: Uint8Array } | undefined

  constructor(source: Source, layer: Descriptor, signal: AbortSignal | undefined) {
    this.#source = source
    this.layer = layer
    this.#signal = signal
  }

  async read({ start, end }: ByteSpan): Promise<Uint8Array> {
    const tail = this.#tail
    if (tail !== undefined && start >= tail.start) return tail.bytes.subarray(start - tail.start, end - tail.start)
    const { size } = this.layer
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
    for await (const chunk of this.#source.blob(this.layer, options)) {
      bytes.set(chunk, filled)
      filled += chunk.length
    }
    this.cost = { bytes: this.cost.bytes + bytes.length, requests: this.cost.requests + 1 }
    return bytes
  }
}
