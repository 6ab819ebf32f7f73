/** Makes the zTOC of a layer in one pass over its blob: decoded, listed and hashed as it comes by. */
import { createHash } from 'node:crypto'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { detectCompression } from '../../codecs/detect.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import {
  type Checkpoint,
  writeGzipCheckpoints,
  writeUncompressedCheckpoints,
  writeZstdCheckpoints,
} from '../../formats/soci/checkpoints.ts'
import { TarDescription } from '../../formats/soci/describe-tar.ts'
import { type Ztoc, type ZtocAlgorithm, writeZtoc } from '../../formats/soci/ztoc.ts'
import { TarParser } from '../../formats/tar/tar-parser.ts'
import { gunzipIndexing } from '../../codecs/gzip-index.ts'
import { type Decoder, copier, unzstd } from '../../codecs/zlib.ts'
import type { Source } from '../../sources/source.ts'

export interface ZtocOptions {
  /** Bytes of tar between two places to start at. */
  readonly spanSize: number
  /** Index zstd layers too, in a way that only onefold reads. */
  readonly zstd: boolean
  readonly zstdWindowLog: number
}

export interface BuildOptions extends ZtocOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/** What the reference calls itself: tables of equal layers are then equal whoever made them. */
export const buildTool = 'AWS SOCI CLI v0.2'
const outputBytes = 1 << 20

/** Throws DIGEST_MISMATCH when the blob is another one, UNSUPPORTED for zstd without its option, BAD_FORMAT. */
export async function buildZtoc(source: Source, layer: Descriptor, options: BuildOptions): Promise<Uint8Array> {
  const digest = new DigestCheck(layer.digest)
  using ztoc = new ZtocBuilder(layer.digest, options)
  for await (const chunk of source.blob(layer, { lent: true, signal: options.signal })) {
    digest.update(chunk)
    options.onBytes?.(chunk.length)
    ztoc.write(chunk)
  }
  digest.finish(`layer ${layer.digest}`)
  return ztoc.finish()
}

/** Takes a blob as it comes by. Its methods throw UNSUPPORTED for zstd without its option, BAD_FORMAT. */
export class ZtocBuilder implements Disposable {
  readonly #name: string
  readonly #options: ZtocOptions
  readonly #description = new TarDescription()
  readonly #parser = new TarParser(this.#description)
  readonly #output = new Uint8Array(outputBytes)
  #indexing: Indexing | undefined
  #size = 0

  /** @param name of the layer, for errors */
  constructor(name: string, options: ZtocOptions) {
    this.#name = name
    this.#options = options
  }

  write(chunk: Uint8Array): void {
    this.#indexing ??= indexingFor(chunk, this.#name, this.#options)
    this.#size += chunk.length
    feed(this.#indexing.decoder, chunk, this.#output, (bytes) => this.#parser.write(bytes))
  }

  finish(): Uint8Array {
    this.#parser.end()
    if (this.#indexing === undefined)
      throw new OnefoldError('BAD_FORMAT', `Cannot index layer ${this.#name}: it is empty`)
    const { files, tarSize } = this.#description
    const blobSize = this.#size
    return writeZtoc({ buildTool, blobSize, tarSize, files, ...this.#indexing.finish(blobSize) })
  }

  [Symbol.dispose](): void {
    this.#indexing?.decoder[Symbol.dispose]()
  }
}

/** Until nothing is left of the chunk, nor of what a decoder holds back for want of room. */
function feed(decoder: Decoder, chunk: Uint8Array, output: Uint8Array, take: (bytes: Uint8Array) => void): void {
  let input = chunk
  let produced = 0
  do {
    const step = decoder.step(input, output)
    produced = step.produced
    if (produced > 0) take(output.subarray(0, produced))
    if (step.consumed === 0 && produced === 0 && input.length > 0)
      throw new OnefoldError('BAD_FORMAT', 'Cannot index a layer: its decoder is stuck')
    input = input.subarray(step.consumed)
  } while (input.length > 0 || produced === output.length)
}

type Compression = Pick<Ztoc, 'algorithm' | 'spanDigests' | 'checkpoints'>

/** A decoder that sees where one could start. */
interface Indexing {
  readonly decoder: Decoder
  finish(blobSize: number): Compression
}

function indexingFor(first: Uint8Array, name: string, options: ZtocOptions): Indexing {
  const compression = detectCompression(first)
  switch (compression) {
    case 'gzip':
      return gzipIndexing(options.spanSize)
    case 'none':
      return plainIndexing(options.spanSize)
    case 'zstd':
      if (options.zstd) return zstdIndexing(options)
      throw new OnefoldError(
        'UNSUPPORTED',
        `Cannot index layer ${name}: it is compressed with zstd, which SOCI cannot say`,
        {
          hint: 'With --zstd it is indexed in a way that only onefold reads.',
        },
      )
  }
}

function gzipIndexing(spanSize: number): Indexing {
  const decoder = gunzipIndexing(spanSize)
  return {
    decoder,
    finish() {
      const { points, spanDigests } = decoder.finish()
      return described('gzip', spanDigests, writeGzipCheckpoints({ spanSize, list: points }))
    },
  }
}

function plainIndexing(spanSize: number): Indexing {
  const spans = new SpanDigests()
  const plain = copier()
  let left = spanSize
  return {
    decoder: {
      ...plain,
      step(input, output) {
        if (left === 0) {
          spans.next()
          left = spanSize
        }
        const step = plain.step(input.subarray(0, left), output)
        spans.update(input.subarray(0, step.consumed))
        left -= step.consumed
        return step
      },
    },
    finish: (size) => described('uncompressed', spans.finish(), writeUncompressedCheckpoints(spanSize, size)),
  }
}

const noWindow = new Uint8Array(0)

/** A span ends with the first frame that ends more than `spanSize` behind its beginning. */
function zstdIndexing({ spanSize, zstdWindowLog }: ZtocOptions): Indexing {
  const spans = new SpanDigests()
  const list: Checkpoint[] = [{ in: 0, out: 0, bits: 0, window: noWindow }]
  let [totalIn, totalOut, frameEnded] = [0, 0, false]
  const zstd = unzstd(zstdWindowLog, () => (frameEnded = true))
  return {
    decoder: {
      ...zstd,
      step(input, output) {
        // Only when there is more: what has nothing behind it is no place to start.
        if (frameEnded && totalOut - (list.at(-1)?.out ?? 0) > spanSize) {
          list.push({ in: totalIn, out: totalOut, bits: 0, window: noWindow })
          spans.next()
        }
        frameEnded = false
        const step = zstd.step(input, output)
        spans.update(input.subarray(0, step.consumed))
        totalIn += step.consumed
        totalOut += step.produced
        return step
      },
    },
    finish() {
      zstd.end()
      return described('zstd', spans.finish(), writeZstdCheckpoints({ spanSize, list }))
    },
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

function described(algorithm: ZtocAlgorithm, hex: readonly string[], checkpoints: Uint8Array): Compression {
  return { algorithm, spanDigests: hex.map((digest) => `sha256:${digest}`), checkpoints }
}
