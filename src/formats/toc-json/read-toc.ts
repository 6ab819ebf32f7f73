/** Steps of reading a table that several dialects share: bounds first, then the bytes. */
import { checkDigest } from '../../digest.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Reading, readRange } from '../reading.ts'
import { type Position, digestAnnotation, stargzTocDigest } from './toc-annotations.ts'
import { checkWithin } from './toc-files.ts'
import { type TocLimits, tooLarge } from './toc-json.ts'

/** Greatest distance at which a table and what goes with it are read in one request. */
export const maxTocGap = 1024

/** Reads a part of a layer's blob in which a table, or a table and its tar-split, are said to be. */
export function* readTocRange(
  what: string,
  layer: Descriptor,
  { start, end }: Pick<Position, 'start' | 'end'>,
  blobEnd: number,
  limits: Required<TocLimits>,
): Reading<Uint8Array> {
  checkWithin(what, start, end, blobEnd)
  // Table and tar-split may come in one.
  if (end - start > 2 * limits.maxTocBytes + maxTocGap) throw tooLarge(what, end - start, limits)
  return yield* readRange(layer, start, end)
}

/** Throws LIMIT for a part that would decode to more than is read. */
export function checkDecodedSize(what: string, { size }: Position, limits: Required<TocLimits>): void {
  if (size > limits.maxTocBytes) throw tooLarge(what, size, limits)
}

/**
 * Compares a table's JSON with the digest that eStargz and stargz' zstd dialect share; returns false when there is
 * none.
 */
export function checkStargzJson(layer: Descriptor, json: Uint8Array): boolean {
  const digest = digestAnnotation(layer, stargzTocDigest)
  if (digest === undefined) return false
  checkDigest(json, digest, 'the table of contents of a layer')
  return true
}
