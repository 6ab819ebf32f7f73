/** Makes the zTOC of a layer in one pass over its blob: decoded, listed and hashed as it comes by. */
import { Drain } from '../../codecs/codec.ts'
import { OnefoldError } from '../../error.ts'
import type { IndexBuilder, IndexingCodecs } from '../format.ts'
import { TarParser } from '../tar/tar-parser.ts'
import { TarDescription } from './describe-tar.ts'
import { type SpanIndexer, type SpanOptions, spanIndexerFor } from './span-indexer.ts'
import { writeZtoc } from './ztoc.ts'

/** Name that the reference gives itself: tables of equal layers are then equal whoever made them. */
export const buildTool = 'AWS SOCI CLI v0.2'
const outputBytes = 1 << 20

/** Takes a blob as it comes by. Its methods throw UNSUPPORTED for zstd without its option, BAD_FORMAT. */
export class ZtocBuilder implements IndexBuilder {
  readonly #name: string
  readonly #options: SpanOptions
  readonly #codecs: IndexingCodecs
  readonly #description = new TarDescription()
  readonly #parser = new TarParser(this.#description)
  readonly #output = new Uint8Array(outputBytes)
  #indexing: Indexing | undefined
  #size = 0

  /** @param name the layer's, for errors */
  constructor(name: string, options: SpanOptions, codecs: IndexingCodecs) {
    this.#name = name
    this.#options = options
    this.#codecs = codecs
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
    const indexer = spanIndexerFor(first, this.#name, this.#options, this.#codecs)
    return { indexer, drain: new Drain(indexer, `layer ${this.#name}`) }
  }
}

interface Indexing {
  readonly indexer: SpanIndexer
  readonly drain: Drain
}
