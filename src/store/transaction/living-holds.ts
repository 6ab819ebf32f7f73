import { closeSync, readSync } from 'node:fs'
import { fileError, openRegular } from '../store-files.ts'
import { isAlive, listOwned } from './dead-folders.ts'
import { type Hold, lineBytes, parseLines } from './holds.ts'

const chunkBytes = 1024 * lineBytes

/** The holds of all living transactions, as they grow: what was read once is not read again. */
export class LivingHolds {
  readonly #root: string
  /** Offsets up to which the holds of each transaction have been read. */
  #ends = new Map<string, number>()
  readonly #buffer = Buffer.allocUnsafe(chunkBytes)

  constructor(root: string) {
    this.#root = root
  }

  /** The holds that came since the last call. */
  *read(): Generator<Hold> {
    const ends = new Map<string, number>()
    for (const owner of listOwned(this.#root)) {
      if (!isAlive(owner)) continue
      ends.set(owner, yield* this.#readFrom(`${owner}/holds`, this.#ends.get(owner) ?? 0))
    }
    this.#ends = ends
  }

  /** Yields holds, and returns up to where there is nothing more to find: a line at the end may still be on its way. */
  *#readFrom(path: string, from: number): Generator<Hold, number> {
    const file = openRegular(path, 'the holds of a transaction')
    if (file === undefined) return from
    try {
      for (let at = from; ;) {
        const length = readSync(file.fd, this.#buffer, 0, chunkBytes, at)
        let end = Math.max(0, length - lineBytes + 1)
        for (const line of parseLines(this.#buffer.subarray(0, length))) {
          yield line.hold
          end = Math.max(end, line.end)
        }
        at += end
        if (length < chunkBytes) return at
      }
    } catch (error) {
      throw fileError('read', path, error)
    } finally {
      closeSync(file.fd)
    }
  }
}
