/** A layer's tar as the writers of tables take it: each entry with its headers, then its content, then the end. */
import { OnefoldError } from '../../error.ts'
import { type Entry, noContent } from '../entry.ts'
import { quoteName } from '../path.ts'
import { paddingOf } from '../tar/header.ts'
import { noTarLimits } from '../tar/limits.ts'
import { type TarHandler, TarParser } from '../tar/parse.ts'
import type { RawEntry } from './json.ts'
import { differenceOf } from './difference.ts'
import { readTocEntry } from './entry.ts'
import { type GoHeader, readGoHeader } from './header.ts'

export interface TarSink {
  /**
   * @param padding zeros after the content before it
   * @param headers all of them: pax, long names, the entry's own
   */
  entry(entry: Entry, header: GoHeader, padding: Buffer, headers: Buffer): void
  data(bytes: Uint8Array): void
  endEntry(): void
  /** @param rest from the end marker on */
  end(padding: Buffer, rest: Buffer): void
}

/** Runs the tar parser over a layer that was read before, and refuses what no table can hold. */
export class TarFeed {
  readonly #sink: TarSink
  readonly #parser: TarParser
  readonly #names = new Set<string>()
  #framing: Buffer[] = []
  #padding = 0

  constructor(sink: TarSink) {
    this.#sink = sink
    const handler: TarHandler = {
      framing: (bytes) => void this.#framing.push(Buffer.from(bytes)),
      entry: (entry, { stored, ranges }) => {
        if (ranges !== undefined) throw cannotHold(entry.path, 'a sparse file')
        if (this.#names.has(entry.path)) throw cannotHold(entry.path, 'a name twice')
        this.#names.add(entry.path)
        const { padding, rest } = this.#takeFraming()
        this.#sink.entry(entry, readGoHeader(rest), padding, rest)
        this.#padding = paddingOf(stored)
      },
      data: (bytes) => this.#sink.data(bytes),
      endEntry: () => this.#sink.endEntry(),
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

  #takeFraming(): { padding: Buffer; rest: Buffer } {
    const framing = this.#framing.length === 1 ? this.#framing[0]! : Buffer.concat(this.#framing)
    this.#framing = []
    return { padding: framing.subarray(0, this.#padding), rest: framing.subarray(this.#padding) }
  }
}

/** Throws UNSUPPORTED when a reader of the table would see another entry than a reader of the tar. */
export function checkHeld(json: RawEntry, entry: Entry): void {
  const lost = differenceOf({ ...readTocEntry(json), content: noContent }, { ...entry, content: noContent })
  if (lost !== undefined) throw cannotHold(entry.path, `this ${lost}`)
}

export function cannotHold(path: string, what: string): OnefoldError {
  return new OnefoldError(
    'UNSUPPORTED',
    `Cannot list ${quoteName(path)} in a table of contents: the format cannot hold ${what}`,
    { hint: 'Convert to a format without a table, such as tar+zstd.' },
  )
}
