import { memberLevels } from '../../codecs/coding.ts'
import type { WriterCoding, WritingTools } from '../../formats/format.ts'
import { indexingCodecs } from '../indexing-codecs.ts'
import { Recompressor } from '../send/recompress.ts'
import { MemberPool } from './member-pool.ts'

export interface FormatToolsOptions {
  readonly level?: number | undefined
  /** How many threads compress; what comes out is the same for any number. */
  readonly threads?: number | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

/** Compressors on threads, as writers of formats use them. */
export class FormatTools implements WritingTools, AsyncDisposable {
  readonly codecs = indexingCodecs
  readonly onWarning: (message: string) => void
  readonly #level: number | undefined
  readonly #members: MemberPool | undefined
  readonly #streams: Recompressor

  constructor(coding: WriterCoding, { level, threads, onWarning }: FormatToolsOptions) {
    this.onWarning = (message) => onWarning?.(message)
    this.#level = level
    this.#members = coding === 'none' ? undefined : new MemberPool(coding, level ?? memberLevels[coding].usual, threads)
    this.#streams = new Recompressor(threads)
  }

  readonly compress = (bytes: Uint8Array): Promise<Uint8Array> => {
    if (this.#members === undefined) throw new Error('a format that says it does not compress wants to')
    return this.#members.compress(bytes)
  }

  readonly gzip = (chunks: Iterable<Uint8Array>): AsyncIterable<Uint8Array> => this.#streams.gzip(chunks, this.#level)

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#members?.[Symbol.asyncDispose]()
    await this.#streams[Symbol.asyncDispose]()
  }
}
