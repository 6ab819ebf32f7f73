/** Replaces an entry that a table cannot hold, when losses are accepted, by the nearest one that it can. */
import { isUtf8 } from 'node:buffer'
import { hasCode } from '../../error.ts'
import { pathToBytes } from '../../paths.ts'
import type { Entry } from '../entry.ts'
import type { Ranges } from '../tar/sparse.ts'
import { timeRange } from './go-time.ts'

/** Called for an entry that was changed, with what of it could not be held. */
export type OnLoss = (path: string, error: Error) => void

/**
 * Adds reductions one by one until `check` passes, those that lose least first: a plain header, other spellings of
 * names, times within range, whole seconds. Throws the last error when none helps.
 * @param check throws UNSUPPORTED for what cannot be held
 */
export function reduceEntry(entry: Entry, check: (entry: Entry) => void): Entry {
  let reduced = entry
  let failure: unknown
  for (const reduce of reductions) {
    reduced = reduce(reduced)
    failure = failureOf(() => check(reduced))
    if (failure === undefined) return reduced
  }
  throw failure
}

export function failureOf(action: () => void): Error | undefined {
  try {
    action()
    return undefined
  } catch (error) {
    if (error instanceof Error && hasCode(error, 'UNSUPPORTED')) return error
    throw error
  }
}

const reductions: readonly ((entry: Entry) => Entry)[] = [
  (entry) => entry,
  (entry) => ({
    ...entry,
    path: spelled(entry.path),
    link: spelled(entry.link),
    xattrs: new Map([...entry.xattrs].map(([name, value]) => [spelled(name), value])),
  }),
  (entry) => ({ ...entry, mtime: Math.min(Math.max(entry.mtime, timeRange.first), timeRange.last) }),
  (entry) => ({ ...entry, mtime: Math.min(wholeSeconds(entry), timeRange.last), mtimeNsec: 0 }),
]

/** Rounds to the nearest second, as the reference does. */
function wholeSeconds({ mtime, mtimeNsec }: Entry): number {
  return mtimeNsec >= 500_000_000 ? mtime + 1 : mtime
}

/** Spells bytes that are no text as `ls` shows them: \xNN. */
function spelled(bytes: string): string {
  const buffer = pathToBytes(bytes)
  if (isUtf8(buffer) && !buffer.includes('\ufffd')) return bytes
  return bytes.replace(/[\x80-\xff]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`)
}

const zeros = new Uint8Array(64 * 1024)

/** Gives out a sparse file whole: its stored bytes come by, and zeros are put between them. */
export class SparseExpander {
  readonly #ranges: Ranges
  readonly #size: number
  readonly #give: (bytes: Uint8Array) => void
  #range = 0
  /** Number of bytes given out of the current range. */
  #done = 0
  #at = 0

  constructor(ranges: Ranges, size: number, give: (bytes: Uint8Array) => void) {
    this.#ranges = ranges
    this.#size = size
    this.#give = give
  }

  data(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const [offset, length] = this.#ranges[this.#range] ?? [this.#size, bytes.length]
      if (this.#done === length) {
        this.#range++
        this.#done = 0
        continue
      }
      this.#zerosTo(offset + this.#done)
      const part = bytes.subarray(at, at + length - this.#done)
      this.#give(part)
      this.#done += part.length
      this.#at += part.length
      at += part.length
    }
  }

  end(): void {
    this.#zerosTo(this.#size)
  }

  #zerosTo(offset: number): void {
    for (let left = offset - this.#at; left > 0; left -= zeros.length)
      this.#give(zeros.subarray(0, Math.min(left, zeros.length)))
    this.#at = Math.max(this.#at, offset)
  }
}
