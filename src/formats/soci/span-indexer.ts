/** Decoders that note on their way where one could start: the spans of a zTOC. */
import { createHash } from 'node:crypto'
import type { Decoder, IndexingDecoder, Step } from '../../codecs/codec.ts'
import { detectCompression } from '../../codecs/detect.ts'
import { OnefoldError } from '../../error.ts'
import type { IndexingCodecs } from '../format.ts'
import {
  type Checkpoint,
  writeGzipCheckpoints,
  writeUncompressedCheckpoints,
  writeZstdCheckpoints,
} from './checkpoints.ts'
import type { Ztoc, ZtocAlgorithm } from './ztoc.ts'

export interface SpanOptions {
  /** Bytes of tar between two places to start at. */
  readonly spanSize: number
  /** Index zstd layers too, in a way that only onefold reads. */
  readonly zstd: boolean
}

/** The part of a zTOC that is about spans. */
export type SpanTable = Pick<Ztoc, 'algorithm' | 'spanDigests' | 'checkpoints'>

export interface SpanIndexer extends Decoder {
  /** Returns the table of everything consumed. Throws BAD_FORMAT when the blob ends in the middle of something. */
  finish(): SpanTable
}

/**
 * The indexer of a blob that begins with these bytes. Throws UNSUPPORTED for zstd without its option.
 * @param name the layer's, for errors
 */
export function spanIndexerFor(
  first: Uint8Array,
  name: string,
  options: SpanOptions,
  codecs: IndexingCodecs,
): SpanIndexer {
  switch (detectCompression(first)) {
    case 'gzip':
      return new GzipSpans(options.spanSize, codecs)
    case 'none':
      return new StoredSpans(options.spanSize, codecs)
    case 'zstd':
      if (options.zstd) return new ZstdSpans(options.spanSize, codecs)
      throw zstdUnspeakable(name)
  }
}

class GzipSpans implements SpanIndexer {
  readonly #indexer: IndexingDecoder
  readonly #spanSize: number

  constructor(spanSize: number, codecs: IndexingCodecs) {
    this.#indexer = codecs.gunzipIndexing(spanSize)
    this.#spanSize = spanSize
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    return this.#indexer.step(input, output)
  }

  end(): void {
    this.#indexer.end()
  }

  finish(): SpanTable {
    const { points, spanDigests } = this.#indexer.finish()
    return tableOf('gzip', spanDigests, writeGzipCheckpoints({ spanSize: this.#spanSize, list: points }))
  }

  [Symbol.dispose](): void {
    this.#indexer[Symbol.dispose]()
  }
}

class StoredSpans implements SpanIndexer {
  readonly #decoder: Decoder
  readonly #digests = new SpanDigests()
  readonly #spanSize: number
  #left: number
  #size = 0

  constructor(spanSize: number, codecs: IndexingCodecs) {
    this.#decoder = codecs.decoder({ kind: 'stored' })
    this.#spanSize = spanSize
    this.#left = spanSize
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    // Only when there is more: the last span may be a whole one.
    if (this.#left === 0 && input.length > 0) this.#nextSpan()
    const step = this.#decoder.step(input.subarray(0, this.#left), output)
    this.#digests.update(input.subarray(0, step.consumed))
    this.#left -= step.consumed
    this.#size += step.consumed
    return step
  }

  end(): void {
    this.#decoder.end()
  }

  finish(): SpanTable {
    const checkpoints = writeUncompressedCheckpoints(this.#spanSize, this.#size)
    return tableOf('uncompressed', this.#digests.finish(), checkpoints)
  }

  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]()
  }

  #nextSpan(): void {
    this.#digests.next()
    this.#left = this.#spanSize
  }
}

const noWindow = new Uint8Array(0)

/** A span ends with the first frame that ends more than `spanSize` behind its beginning. */
class ZstdSpans implements SpanIndexer {
  readonly #decoder: Decoder
  readonly #digests = new SpanDigests()
  readonly #spanSize: number
  readonly #points: Checkpoint[] = [{ in: 0, out: 0, bits: 0, window: noWindow }]
  #totalIn = 0
  #totalOut = 0
  #frameEnded = false

  constructor(spanSize: number, codecs: IndexingCodecs) {
    this.#spanSize = spanSize
    this.#decoder = codecs.decoder({ kind: 'zstd' }, () => (this.#frameEnded = true))
  }

  step(input: Uint8Array, output: Uint8Array): Step {
    // Only when there is more: what has nothing behind it is no place to start.
    if (this.#frameEnded && input.length > 0) this.#considerPoint()
    const step = this.#decoder.step(input, output)
    this.#digests.update(input.subarray(0, step.consumed))
    this.#totalIn += step.consumed
    this.#totalOut += step.produced
    return step
  }

  end(): void {
    this.#decoder.end()
  }

  finish(): SpanTable {
    this.end()
    const checkpoints = writeZstdCheckpoints({ spanSize: this.#spanSize, list: this.#points })
    return tableOf('zstd', this.#digests.finish(), checkpoints)
  }

  [Symbol.dispose](): void {
    this.#decoder[Symbol.dispose]()
  }

  #considerPoint(): void {
    this.#frameEnded = false
    if (this.#totalOut - (this.#points.at(-1)?.out ?? 0) <= this.#spanSize) return
    this.#points.push({ in: this.#totalIn, out: this.#totalOut, bits: 0, window: noWindow })
    this.#digests.next()
  }
}

class SpanDigests {
  readonly #done: string[] = []
  #hash = createHash('sha256')

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  next(): void {
    this.#done.push(this.#hash.digest('hex'))
    this.#hash = createHash('sha256')
  }

  finish(): string[] {
    this.next()
    return this.#done
  }
}

function tableOf(algorithm: ZtocAlgorithm, hex: readonly string[], checkpoints: Uint8Array): SpanTable {
  return { algorithm, spanDigests: hex.map((digest) => `sha256:${digest}`), checkpoints }
}

function zstdUnspeakable(name: string): OnefoldError {
  const found = 'it is compressed with zstd, which SOCI cannot say'
  return new OnefoldError('UNSUPPORTED', `Cannot index layer ${name}: ${found}`, {
    hint: 'With --zstd it is indexed in a way that only onefold reads.',
  })
}
