/** Feeds a layer's tar to the writers of tables: each entry with its headers, then its content, then the end. */
import { OnefoldError } from '../../error.ts'
import { type Entry, noContent, sizeOf } from '../entry.ts'
import { quoteName } from '../path.ts'
import { paddingOf } from '../tar/tar-header.ts'
import { noTarLimits } from '../tar/tar-limits.ts'
import { type TarBody, type TarHandler, TarParser } from '../tar/tar-parser.ts'
import { tarPadding, writeTarHeader } from '../tar/tar-writer.ts'
import type { RawEntry } from './toc-json.ts'
import { differenceOf } from './entry-difference.ts'
import { readTocEntry } from './toc-entry.ts'
import { type GoHeader, readGoHeader } from './go-header.ts'
import { lossHint } from './write-toc-json.ts'
import { type OnLoss, SparseExpander, failureOf, reduceEntry } from './reduce-entry.ts'

export interface TocBuilder {
  /** Throws UNSUPPORTED for what the table cannot hold, and changes nothing. */
  check(entry: Entry, header: GoHeader): void
  /**
   * Takes an entry. For entries that were not checked it throws as `check` does.
   * @param padding zeros after the content before it
   * @param headers all of them: pax, long names, the entry's own
   */
  entry(entry: Entry, header: GoHeader, padding: Buffer, headers: Buffer): void
  data(bytes: Uint8Array): void
  endEntry(): void
  /**
   * Takes the end of the tar.
   * @param rest all bytes from the end marker on
   */
  end(padding: Buffer, rest: Buffer): void
}

/** Runs the tar parser over a layer that was read before, and refuses what no table can hold. */
export class TarFeed {
  readonly #sink: TocBuilder
  readonly #onLoss: OnLoss | undefined
  readonly #parser: TarParser
  readonly #names = new Set<string>()
  #framing: Buffer[] = []
  #padding = 0
  /** Sparse file whose content comes by, with its whole size, which is more than what is stored of it. */
  #sparse: { readonly file: SparseExpander; readonly size: number } | undefined

  /** @param onLoss given: entries that the table cannot hold are replaced, in the tar as well, by ones that it can */
  constructor(sink: TocBuilder, onLoss?: OnLoss) {
    this.#sink = sink
    this.#onLoss = onLoss
    const handler: TarHandler = {
      framing: (bytes) => void this.#framing.push(Buffer.from(bytes)),
      entry: (entry, body) => this.#entry(entry, body),
      data: (bytes) => (this.#sparse === undefined ? this.#sink.data(bytes) : this.#sparse.file.data(bytes)),
      endEntry: () => {
        this.#sparse?.file.end()
        this.#sink.endEntry()
      },
    }
    this.#parser = new TarParser(handler, noTarLimits)
  }

  write(tar: Uint8Array): void {
    this.#parser.write(tar)
  }

  end(): void {
    this.#parser.end()
    const { padding, rest } = this.#takeFraming()
    this.#sink.end(padding, rest)
  }

  #entry(read: Entry, { stored, ranges }: TarBody): void {
    const { padding, rest } = this.#takeFraming()
    this.#sparse = undefined
    this.#padding = paddingOf(stored)
    const { entry, headers } = this.#held(read, rest, ranges !== undefined)
    if (this.#names.has(entry.path)) throw cannotHold(entry.path, 'a name twice')
    this.#names.add(entry.path)
    if (ranges !== undefined) {
      const size = sizeOf(entry.content)
      this.#sparse = { file: new SparseExpander(ranges, size, (bytes) => this.#sink.data(bytes)), size }
    }
    this.#sink.entry(entry, readGoHeader(headers), padding, headers)
  }

  /** Returns the entry as the table can hold it. */
  #held(entry: Entry, headers: Buffer, isSparse: boolean): { entry: Entry; headers: Buffer } {
    const onLoss = this.#onLoss
    const sparse = isSparse ? cannotHold(entry.path, 'a sparse file') : undefined
    if (onLoss === undefined) {
      if (sparse !== undefined) throw sparse
      return { entry, headers }
    }
    const failure = sparse ?? failureOf(() => this.#sink.check(entry, readGoHeader(headers)))
    if (failure === undefined) return { entry, headers }
    const headersOf = (each: Entry): Buffer => Buffer.from(writeTarHeader(each, sizeOf(each.content)))
    const reduced = reduceEntry(entry, (each) => this.#sink.check(each, readGoHeader(headersOf(each))))
    onLoss(entry.path, failure)
    return { entry: reduced, headers: headersOf(reduced) }
  }

  #takeFraming(): { padding: Buffer; rest: Buffer } {
    const framing = this.#framing.length === 1 ? this.#framing[0]! : Buffer.concat(this.#framing)
    this.#framing = []
    const rest = framing.subarray(this.#padding)
    if (this.#sparse === undefined) return { padding: framing.subarray(0, this.#padding), rest }
    return { padding: Buffer.from(tarPadding(this.#sparse.size)), rest }
  }
}

/** Throws UNSUPPORTED when a reader of the table would see another entry than a reader of the tar. */
export function checkHeld(json: RawEntry, entry: Entry): void {
  const difference = differenceOf({ ...readTocEntry(json), content: noContent }, { ...entry, content: noContent })
  if (difference !== undefined)
    throw cannotHold(entry.path, difference === 'mtimeNsec' ? 'a fraction of a second' : `this ${difference}`)
}

export function cannotHold(path: string, what: string): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot list ${quoteName(path)} in a table of contents: the format cannot hold ${what}`,
    { hint: lossHint },
  )
}
