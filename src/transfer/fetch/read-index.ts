import { hasCode } from '../../error.ts'
import { claimsInOrder } from '../../formats/claims.ts'
import type { ContentIndex } from '../../formats/content-index.ts'
import type { Claim, IndexLimits } from '../../formats/format.ts'
import { type Answers, driveReading } from '../../content/drive-reading.ts'

/** Index of a layer, or why there is none to go by. */
export type IndexReading =
  | { readonly index: ContentIndex; readonly claim: Claim }
  | { readonly index: undefined; readonly why: string }

/**
 * Reads the index of a layer, by the first claim that has one; an error in one is not thrown, since the layer can be
 * pulled whole.
 */
export async function readIndex(
  answers: Answers,
  claims: readonly Claim[],
  limits: IndexLimits,
): Promise<IndexReading> {
  try {
    for (const claim of claimsInOrder(claims)) {
      const index = await driveReading(claim.open(limits), answers)
      if (index !== undefined) return { index, claim }
    }
    return { index: undefined, why: 'it has no table of contents' }
  } catch (error) {
    if (!makesIndexUseless(error)) throw error
    return { index: undefined, why: error.message }
  }
}

/** Tells whether an error makes an index useless, unlike a network that fails. */
export function makesIndexUseless(error: unknown): error is Error {
  const codes = ['BAD_FORMAT', 'DIGEST_MISMATCH', 'LIMIT', 'UNSUPPORTED', 'NOT_FOUND'] as const
  return codes.some((code) => hasCode(error, code))
}
