/**
 * The JSON that eStargz and both dialects of zstd:chunked keep their table in:
 *
 *     { "version": 1, "entries": [ … ], "tarSplitDigest": "sha256:…" }        the digest in containers' dialect only
 *
 * One entry for every header of the tar; a file that was cut is followed by entries of type "chunk", one for each further
 * chunk. An attacker writes all of it, so all of it is bounded before anything is made of it.
 */
import { isUtf8 } from 'node:buffer'
import { OnefoldError } from '../../error.ts'
import { pathFromUtf8 } from '../../paths.ts'
import { quoteName } from '../path.ts'
import { type TarLimits, defaultTarLimits } from '../tar/tar-limits.ts'

export interface TocLimits extends Pick<TarLimits, 'maxEntries' | 'maxEntrySize' | 'maxTotal'> {
  /** Bytes of the table and of a tar-split, each as JSON and also as it lies in the blob. */
  readonly maxTocBytes?: number
}

export const defaultTocLimits: Required<TocLimits> = {
  maxEntries: 1_000_000,
  maxEntrySize: defaultTarLimits.maxEntrySize,
  maxTotal: defaultTarLimits.maxTotal,
  // containers/storage, the other reader of these tables, refuses larger ones as well.
  maxTocBytes: 150 * 2 ** 20,
}

/** Entries and chunks have about ten values each. */
const valuesPerEntry = 24

/** An entry as parsed: nothing in it can be relied on. */
export type RawEntry = Readonly<Record<string, unknown>>

export interface TocDocument {
  readonly entries: readonly RawEntry[]
  /** Not checked. */
  readonly tarSplitDigest: unknown
}

/** Throws LIMIT or BAD_FORMAT; UNSUPPORTED for a version other than 1. */
export function readTocJson(bytes: Uint8Array, limits: Required<TocLimits>): TocDocument {
  if (bytes.length > limits.maxTocBytes) throw tooLarge('the table', bytes.length, limits)
  if (!isUtf8(bytes)) throw badToc('it is not UTF-8')
  checkValues(bytes, limits.maxEntries * valuesPerEntry)
  const document = parse(bytes)
  if (!isObject(document)) throw badToc('it is no JSON object')
  if (document['version'] !== 1)
    throw new OnefoldError('UNSUPPORTED', 'Cannot read a table of contents: its version is not 1')
  const entries: unknown = document['entries'] ?? []
  if (!Array.isArray(entries)) throw badToc('its entries are no list')
  if (!entries.every(isObject)) throw badToc('one of its entries is no object')
  return { entries, tarSplitDigest: document['tarSplitDigest'] ?? undefined }
}

/** What parsing makes costs memory for every value, however few bytes stand for it. */
function checkValues(bytes: Uint8Array, max: number): void {
  // Each takes a byte and what parts it from the next: of most tables the length says it.
  if (bytes.length / 2 <= max) return
  let values = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === 0x22) {
      for (at++; at < bytes.length && bytes[at] !== 0x22; at++) if (bytes[at] === 0x5c) at++
    } else if (byte === 0x2c || byte === 0x5b || byte === 0x7b) values++
  }
  if (values > max) throw new OnefoldError('LIMIT', `Cannot read a table of contents: it has more than ${max} values`)
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString())
  } catch (cause) {
    throw badToc('it is not JSON', cause)
  }
}

function isObject(value: unknown): value is RawEntry {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** '' when absent. */
export function textOf(raw: RawEntry, key: string): string {
  const value = raw[key] ?? ''
  if (typeof value !== 'string') throw badEntry(raw, `its ${key} is no string`)
  return value
}

/** 0 when absent. */
export function sizeIn(raw: RawEntry, key: string): number {
  const value = raw[key] ?? 0
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw badEntry(raw, `its ${key} is no whole number from 0 to 2^53-1`)
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
