/**
 * Reads the JSON that eStargz and both dialects of zstd:chunked keep their table in:
 *
 *     { "version": 1, "entries": [ … ], "tarSplitDigest": "sha256:…" }        the digest in containers' dialect only
 *
 * One entry for every header of the tar; a file that was cut is followed by entries of type "chunk", one for each
 * further chunk. An attacker writes all of it, so all of it is bounded before anything is made of it.
 */
import { OnefoldError } from '../../error.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { type JsonMembers, isJsonObject, isSize, parseJson } from '../json.ts'
import { quoteName } from '../path.ts'
import { type TarLimits, defaultTarLimits } from '../tar/tar-limits.ts'

export interface TocLimits extends Pick<TarLimits, 'maxEntries' | 'maxEntrySize' | 'maxTotal'> {
  /** Size of the table and of a tar-split, each as JSON and also as it lies in the blob, in bytes. */
  readonly maxTocBytes?: number
}

export const defaultTocLimits: Required<TocLimits> = {
  maxEntries: 1_000_000,
  maxEntrySize: defaultTarLimits.maxEntrySize,
  maxTotal: defaultTarLimits.maxTotal,
  // containers/storage, the other reader of these tables, refuses larger ones as well.
  maxTocBytes: 150 * 2 ** 20,
}

/** Most values that entries and chunks may have each, on average. They have about ten. */
const valuesPerEntry = 24

/** Fewest bytes that a value takes, on average, in what any writer of tables writes. */
const bytesPerValue = 12

/**
 * Entry as parsed: nothing in it can be relied on. A table has a hundred thousand of them and each is looked at once,
 * so they are read with functions instead of a `Fields` for each, which would double what an entry takes.
 */
export type RawEntry = JsonMembers

export interface TocDocument {
  readonly entries: readonly RawEntry[]
  /** Digest of the tar-split; not checked. */
  readonly tarSplitDigest: unknown
}

/** Parses a table. Throws LIMIT or BAD_FORMAT; UNSUPPORTED for a version other than 1. */
export function readTocJson(bytes: Uint8Array, limits: Required<TocLimits>): TocDocument {
  if (bytes.length > limits.maxTocBytes) throw tooLarge('the table', bytes.length, limits)
  const document = parseJson(bytes, 'a table of contents', {
    bytes: limits.maxTocBytes,
    // Entries are read two levels deep, and by nothing that recurses.
    depth: Infinity,
    values: Math.min(limits.maxEntries * valuesPerEntry, Math.floor(limits.maxTocBytes / bytesPerValue)),
  })
  if (!isJsonObject(document)) throw badToc('it is no JSON object')
  if (document['version'] !== 1)
    throw new OnefoldError('UNSUPPORTED', 'Cannot read a table of contents: its version is not 1')
  const entries: unknown = document['entries'] ?? []
  if (!Array.isArray(entries)) throw badToc('its entries are no list')
  if (!entries.every(isJsonObject)) throw badToc('one of its entries is no object')
  return { entries, tarSplitDigest: document['tarSplitDigest'] ?? undefined }
}

/** Returns a string; '' when absent. */
export function textOf(raw: RawEntry, key: string): string {
  const value = raw[key] ?? ''
  if (typeof value !== 'string') throw badEntry(raw, `its ${key} is no string`)
  return value
}

/** Returns a whole number; 0 when absent. */
export function sizeIn(raw: RawEntry, key: string): number {
  const value = raw[key] ?? 0
  if (!isSize(value)) throw badEntry(raw, `its ${key} is no whole number from 0 to 2^53-1`)
  return value
}

export function badEntry(raw: RawEntry, found: string): OnefoldError {
  const { name } = raw
  const what = typeof name === 'string' ? quoteName(pathFromUtf8(name.slice(0, 250))) : 'without a name'
  return new OnefoldError('BAD_FORMAT', `Cannot read a table of contents: the entry ${what} is wrong: ${found}`)
}

export function badToc(found: string, cause?: unknown): OnefoldError {
  return new OnefoldError('BAD_FORMAT', `Cannot read a table of contents: ${found}`, { cause })
}

export function tooLarge(what: string, bytes: number, limits: Required<TocLimits>): OnefoldError {
  return new OnefoldError(
    'LIMIT',
    `Cannot read a table of contents: ${what} has ${bytes} bytes, the limit maxTocBytes is ${limits.maxTocBytes}`,
    { hint: 'Pull the layer whole.' },
  )
}
