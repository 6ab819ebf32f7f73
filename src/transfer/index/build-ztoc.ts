/** Makes the zTOC of a layer in one pass over its blob: decoded, listed and hashed as it comes by. */
import { Drain } from '../../codecs/codec.ts'
import { DigestCheck } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { TarDescription } from '../../formats/soci/describe-tar.ts'
import { writeZtoc } from '../../formats/soci/ztoc.ts'
import { TarParser } from '../../formats/tar/tar-parser.ts'
import type { Source } from '../../sources/source.ts'
import { type SpanIndexer, type SpanOptions, spanIndexerFor } from './span-indexer.ts'

export interface BuildOptions extends SpanOptions {
  readonly signal?: AbortSignal | undefined
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/** Name that the reference gives itself: tables of equal layers are then equal whoever made them. */
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
  readonly #options: SpanOptions
  readonly #description = new TarDescription()
  readonly #parser = new TarParser(this.#description)
  readonly #output = new Uint8Array(outputBytes)
  #indexing: Indexing | undefined
  #size = 0

  /** @param name the layer's, for errors */
  constructor(name: string, options: SpanOptions) {
    this.#name = name
    this.#options = options
  }

  write(chunk: Uint8Array): void {
    const { drain } = (this.#indexing ??= this.#begin(chunk))
    this.#size += chunk.length
    drain.give(chunk)
    for (let length = drain.read(this.#output); length > 0; length = drain.read(this.#output))
      this.#parser.write(this.#output.subarray(0, length))
  }

  finish(): Uint8Array {
    this.#parser.end()
    if (this.#indexing === undefined)
      throw new OnefoldError('BAD_FORMAT', `Cannot index layer ${this.#name}: it is empty`)
    const { files, tarSize } = this.#description
    return writeZtoc({ buildTool, blobSize: this.#size, tarSize, files, ...this.#indexing.indexer.finish() })
  }

  [Symbol.dispose](): void {
    this.#indexing?.drain[Symbol.dispose]()
  }

  #begin(first: Uint8Array): Indexing {
    const indexer = spanIndexerFor(first, this.#name, this.#options)
    return { indexer, drain: new Drain(indexer, `layer ${this.#name}`) }
  }
}

interface Indexing {
  readonly indexer: SpanIndexer
  readonly drain: Drain
}
