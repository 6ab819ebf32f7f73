/**
 * `holds`: what a living transaction relies on in the store. Fixed lines, only ever appended to:
 *
 *     letter  space  64 hex digits  \n          67 bytes; o object, l recipe (layer), i image
 *
 * It is read while others write it, so what looks torn is skipped: whoever wrote it has not looked the digest up yet.
 */
import type { RecipeDigest, VerityDigest } from '../../digest.ts'
import { readWhole } from '../store-files.ts'

export type Hold =
  | { readonly kind: 'o' | 'i'; readonly digest: VerityDigest }
  | { readonly kind: 'l'; readonly digest: RecipeDigest }

export type HoldKind = Hold['kind']

/** Bytes of ten million holds; a transaction writes about one for each file of its image. */
const holdsMax = 670_000_000
export const lineBytes = 67

export function formatHolds(kind: HoldKind, digests: Iterable<string>): Buffer {
  let text = ''
  for (const digest of digests) text += `${kind} ${digest}\n`
  return Buffer.from(text, 'latin1')
}

/** The holds in some lines. Finds those behind a torn line, too, which a full disk can leave in the middle. */
export function* parseHolds(bytes: Uint8Array): Generator<Hold> {
  for (const { hold } of parseLines(bytes)) yield hold
}

/** The holds with where the line of each ends. */
export function* parseLines(bytes: Uint8Array): Generator<{ readonly hold: Hold; readonly end: number }> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  for (const { 1: kind, 2: digest, index } of text.matchAll(/([oli]) ([0-9a-f]{64})\n/g))
    yield { hold: { kind, digest } as Hold, end: index + lineBytes }
}

export function readHolds(transaction: string): Iterable<Hold> {
  const bytes = readWhole(`${transaction}/holds`, 'the holds of a transaction', holdsMax)
  return bytes === undefined ? [] : parseHolds(bytes)
}
