/**
 * `holds`: what a living transaction relies on in the store. Fixed lines, only ever appended to:
 *
 *     letter  space  64 hex digits  \n          67 bytes; o object, l recipe (layer), i image
 *
 * It is read while others write it, so what looks torn is skipped: whoever wrote it has not looked the digest up yet.
 */
import { closeSync, readSync } from 'node:fs'
import type { RecipeDigest, VerityDigest } from '../../digest.ts'
import { isAlive, listOwned } from './dead-folders.ts'
import { fileError, openRegular, readWhole } from '../store-files.ts'

export type Hold =
  | { readonly kind: 'o' | 'i'; readonly digest: VerityDigest }
  | { readonly kind: 'l'; readonly digest: RecipeDigest }

export type HoldKind = Hold['kind']

/** Ten million holds; a transaction writes about one for each file of its image. */
const holdsMax = 670_000_000
const lineBytes = 67
const chunkBytes = 1024 * lineBytes

export function formatHolds(kind: HoldKind, digests: Iterable<string>): Buffer {
  let text = ''
  for (const digest of digests) text += `${kind} ${digest}\n`
  return Buffer.from(text, 'latin1')
}

/** Also finds lines behind a torn one, which a full disk can leave in the middle. */
export function* parseHolds(bytes: Uint8Array): Generator<Hold> {
  for (const { hold } of parseLines(bytes)) yield hold
}

function* parseLines(bytes: Uint8Array): Generator<{ readonly hold: Hold; readonly end: number }> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  for (const { 1: kind, 2: digest, index } of text.matchAll(/([oli]) ([0-9a-f]{64})\n/g))
    yield { hold: { kind, digest } as Hold, end: index + lineBytes }
}

export function readHolds(transaction: string): Iterable<Hold> {
  const bytes = readWhole(`${transaction}/holds`, 'the holds of a transaction', holdsMax)
  return bytes === undefined ? [] : parseHolds(bytes)
}

/** The holds of all living transactions, as they grow: what was read once is not read again. */
export class LivingHolds {
  readonly #root: string
  /** How far the holds of each transaction have been read. */
  #ends = new Map<string, number>()
  readonly #buffer = Buffer.allocUnsafe(chunkBytes)

  constructor(root: string) {
    this.#root = root
  }

  /** What came since the last call. */
  *read(): Generator<Hold> {
    const ends = new Map<string, number>()
    for (const owner of listOwned(this.#root)) {
      if (!isAlive(owner)) continue
      ends.set(owner, yield* this.#readFrom(`${owner}/holds`, this.#ends.get(owner) ?? 0))
    }
    this.#ends = ends
  }

  /** Returns up to where there is nothing more to find: a line at the end may still be on its way. */
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
