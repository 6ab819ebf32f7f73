/**
 * `holds`: what a living transaction relies on in the store. Fixed lines, only ever appended to:
 *
 *     letter  space  64 hex digits  \n          67 bytes; o object, l recipe (layer), i image
 *
 * It is read while others write it, so what looks torn is skipped: whoever wrote it has not looked the digest up yet.
 */
import type { RecipeDigest, VerityDigest } from '../digest.ts'
import { readWhole } from './files.ts'

export type Hold =
  | { readonly kind: 'o' | 'i'; readonly digest: VerityDigest }
  | { readonly kind: 'l'; readonly digest: RecipeDigest }

export type HoldKind = Hold['kind']

/** Ten million holds; a transaction writes about one for each file of its image. */
const holdsMax = 670_000_000

export function formatHolds(kind: HoldKind, digests: Iterable<string>): Buffer {
  let text = ''
  for (const digest of digests) text += `${kind} ${digest}\n`
  return Buffer.from(text, 'latin1')
}

/** Also finds lines behind a torn one, which a full disk can leave in the middle. */
export function* parseHolds(bytes: Uint8Array): Generator<Hold> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  for (const [, kind, digest] of text.matchAll(/([oli]) ([0-9a-f]{64})\n/g)) yield { kind, digest } as Hold
}

export function readHolds(transaction: string): Iterable<Hold> {
  const bytes = readWhole(`${transaction}/holds`, 'the holds of a transaction', holdsMax)
  return bytes === undefined ? [] : parseHolds(bytes)
}
