/**
 * Reads the entries of a table with the chunks that belong to each, and checks the rules that hold in every dialect.
 */
import type { Digest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { type Entry, sizeOf } from '../entry.ts'
import { cleanPath, quoteName } from '../path.ts'
import { type ContentDigests, noDigests, sha256Digests } from '../content-digests.ts'
import type { Extent, IndexedFile } from '../content-index.ts'
import { digestIn, readTocEntry } from './toc-entry.ts'
import { type RawEntry, type TocDocument, type TocLimits, badEntry, badToc, sizeIn } from './toc-json.ts'

/** Entry with what the table says of its content, none of it checked yet. */
export interface RawFile {
  readonly entry: Entry
  readonly digest: Digest | undefined
  readonly size: number
  /** The entry itself, then its entries of type "chunk"; none for an empty file or another type. */
  readonly parts: readonly RawEntry[]
}

const noParts: readonly RawEntry[] = []

/** Place of a chunk, as its dialect says it. */
export type Place = Pick<Extent, 'unit' | 'skip'>

export function groupEntries({ entries }: TocDocument, limits: Required<TocLimits>): RawFile[] {
  const files: RawFile[] = []
  const names = new Set<string>()
  const totals = new Totals(limits)
  for (let at = 0; at < entries.length;) {
    const raw = entries[at]!
    if (raw['type'] === 'chunk') throw badEntry(raw, 'it is a chunk without a file before it')
    const entry = readTocEntry(raw)
    let end = at + 1
    while (end < entries.length && entries[end]!['type'] === 'chunk') checkName(entries[end++]!, raw)
    const size = sizeOf(entry.content)
    if (size === 0 && end > at + 1) throw badEntry(raw, 'it has chunks and no content')
    if (names.has(entry.path)) throw twice(entry.path)
    names.add(entry.path)
    totals.add(size)
    const parts = size === 0 ? noParts : end === at + 1 ? [raw] : entries.slice(at, end)
    const digest = size === 0 ? undefined : digestIn(raw, 'digest')
    files.push({ entry, digest, size, parts })
    at = end
  }
  return files
}

function checkName(chunk: RawEntry, file: RawEntry): void {
  const [a, b] = [chunk['name'], file['name']]
  if (a === b) return
  if (typeof a !== 'string' || typeof b !== 'string' || cleanPath(a) !== cleanPath(b))
    throw badEntry(chunk, 'it is a chunk of another file than the one before it')
}

/**
 * Reads the chunks of a file, which must follow one another from its beginning to its end.
 * @param place called for each chunk in order
 */
export function readChunks(file: RawFile, place: (raw: RawEntry, part: number, length: number) => Place): IndexedFile {
  const { entry, size, parts, digest } = file
  const digests = sha256Digests(digest)
  const extents: Extent[] = []
  let offset = 0
  for (let i = 0; i < parts.length; i++) {
    const raw = parts[i]!
    if (sizeIn(raw, 'chunkOffset') !== offset) throw badEntry(raw, `its chunk ${i} does not begin at ${offset}`)
    // 0 is "up to the end of the file".
    const length = sizeIn(raw, 'chunkSize') || size - offset
    if (length <= 0 || offset + length > size) throw badEntry(raw, `its chunk ${i} is not within its ${size} bytes`)
    const { unit, skip } = place(raw, i, length)
    extents.push({ offset, length, digests: chunkDigests(file, raw, digests), unit, skip })
    offset += length
  }
  if (offset !== size) throw badEntry(parts[0]!, `its chunks have ${offset} of its ${size} bytes`)
  return { entry, digests, extents }
}

/**
 * Returns the digests of a chunk. Content must be bound by a digest of the whole or of every part. A single chunk is
 * the whole.
 */
function chunkDigests({ entry, digest, parts }: RawFile, raw: RawEntry, whole: ContentDigests): ContentDigests {
  const own = digestIn(raw, 'chunkDigest')
  if (own === undefined && digest === undefined) throw noDigest(entry)
  if (parts.length > 1) return own === undefined ? noDigests : { sha256: own }
  if (own !== undefined && digest !== undefined && own !== digest)
    throw badEntry(raw, 'it has two digests for the same content')
  return own === undefined || own === digest ? whole : { sha256: own }
}

class Totals {
  readonly #limits: Required<TocLimits>
  #entries = 0
  #bytes = 0

  constructor(limits: Required<TocLimits>) {
    this.#limits = limits
  }

  add(size: number): void {
    this.#bytes += size
    if (++this.#entries > this.#limits.maxEntries) throw this.#over('maxEntries', 'too many entries')
    if (size > this.#limits.maxEntrySize) throw this.#over('maxEntrySize', `a file of ${size} bytes`)
    if (this.#bytes > this.#limits.maxTotal) throw this.#over('maxTotal', 'too many bytes in its files')
  }

  #over(limit: keyof TocLimits, found: string): OnefoldError {
    return new OnefoldError(
      'LIMIT',
      `Cannot read a table of contents: it has ${found}, the limit ${limit} is ${this.#limits[limit]}`,
      { hint: `Raise the limit ${limit} if you trust the image.` },
    )
  }
}

/**
 * Returns the error for a name that is in the table twice. Tars with such a name exist, and their last one counts; a
 * table cannot say that in a way that all its readers share.
 */
function twice(path: string): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot use a table of contents: ${quoteName(path)} is in it twice`, {
    hint: 'Pull the layer whole.',
  })
}

function noDigest({ path }: Entry): OnefoldError {
  return new OnefoldError('UNSUPPORTED', `Cannot use a table of contents: ${quoteName(path)} has no digest in it`, {
    hint: 'Pull the layer whole.',
  })
}

/** Returns the error for units out of order: they come in the order of the blob, and no byte of it is claimed twice. */
export function badOrder(raw: RawEntry): OnefoldError {
  return badEntry(raw, 'its content overlaps what comes before it in the blob, or lies before it')
}

/** Throws BAD_FORMAT unless a part that the manifest or a footer names lies in the blob. */
export function checkWithin(what: string, start: number, end: number, blobEnd: number): void {
  if (!(start >= 0 && start < end && end <= blobEnd))
    throw badToc(`${what} would lie from ${start} to ${end} in ${blobEnd} bytes`)
}
