import { OnefoldError } from '../../error.ts'
import type { IndexLimits } from '../format.ts'

/** Bytes that an entry takes besides its path, its target and its attributes. */
const entryBytes = 64

/** Counts what an index unfolds to: few bytes of it can be made to say the same things again and again. */
export class IndexBudget {
  readonly #limits: Required<IndexLimits>
  #entries = 0
  #bytes = 0
  #total = 0

  constructor(limits: Required<IndexLimits>) {
    this.#limits = limits
  }

  takeEntry(): void {
    this.#entries++
    if (this.#entries > this.#limits.maxEntries)
      throw this.#over('maxEntries', `more than ${this.#entries - 1} entries`)
    this.takeBytes(entryBytes)
  }

  /** Takes bytes of names, targets, attributes and addresses. */
  takeBytes(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#limits.maxTocBytes)
      throw this.#over('maxTocBytes', `more than ${this.#limits.maxTocBytes} bytes of names and attributes`)
  }

  takeFile(size: number): void {
    this.#total += size
    if (size > this.#limits.maxEntrySize) throw this.#over('maxEntrySize', `a file of ${size} bytes`)
    if (this.#total > this.#limits.maxTotal) throw this.#over('maxTotal', `files of ${this.#total} bytes`)
  }

  #over(limit: keyof IndexLimits, found: string): OnefoldError {
    return new OnefoldError(
      'LIMIT',
      `Cannot use an EROFS index: ${found}, the limit ${limit} is ${this.#limits[limit]}`,
      {
        hint: `Raise the limit ${limit} if you trust the image.`,
      },
    )
  }
}
