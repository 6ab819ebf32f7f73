/**
 * Reads the table of eStargz and of stargz' zstd dialect. Each offset is the start of a gzip member, or
 * of zstd frames, that goes on to the next offset and holds, behind the content, the headers of the entries that
 * follow:
 *
 *     offset → member:  [innerOffset bytes]  chunk  [padding, headers, with min-chunk-size also further chunks]
 */
import { digestOf } from '../../digest.ts'
import { noDigests } from '../content-digests.ts'
import type { ContentIndex, IndexedFile, Unit } from '../content-index.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { defaultChunkSize } from './stargz-options.ts'
import { stargzOwnFiles, tocName } from './stargz-own-files.ts'
import { type Place, type RawFile, badOrder, groupEntries, readChunks } from './toc-files.ts'
import { type RawEntry, type TocDocument, type TocLimits, badEntry, sizeIn } from './toc-json.ts'

const landmarkDigest = digestOf(stargzOwnFiles.landmark)
const ownNames: ReadonlySet<string> = new Set(stargzOwnFiles.names)

export interface StargzBlob {
  readonly format: string
  readonly layer: Descriptor
  readonly bound: boolean
  /** Compression of its members. */
  readonly coding: 'gzip' | 'zstd'
  /** End of the members with the tar: the table, or the footer when the table is elsewhere. */
  readonly payloadEnd: number
}

export function readStargzTable(document: TocDocument, blob: StargzBlob, limits: Required<TocLimits>): ContentIndex {
  const members = new Members(blob)
  const groups = groupEntries(document, limits)
  const files = groups.map((group) => readChunks(group, (raw, _, length) => members.place(raw, length)))
  return {
    format: blob.format,
    scope: 'layer',
    bound: blob.bound,
    blobs: [blob.layer],
    files: withoutOwn(files),
    units: members.units(),
    chunking: { kind: 'fixed', size: chunkSizeOf(groups) },
  }
}

/** Gathers the units as the chunks go by, which must be in the order of the tar. */
class Members {
  readonly #blob: StargzBlob
  readonly #starts: number[] = []
  /** Number of bytes of the last member that are in use. */
  #inner = 0

  constructor(blob: StargzBlob) {
    this.#blob = blob
  }

  place(raw: RawEntry, length: number): Place {
    const [start, skip] = [sizeIn(raw, 'offset'), sizeIn(raw, 'innerOffset')]
    const last = this.#starts.at(-1) ?? -1
    if (start < last || (start === last && skip < this.#inner)) throw badOrder(raw)
    if (start >= this.#blob.payloadEnd) throw badEntry(raw, `its offset ${start} is behind the tar's end in the blob`)
    if (skip + length > Number.MAX_SAFE_INTEGER) throw badEntry(raw, 'its innerOffset is beyond 2^53')
    if (start > last) this.#starts.push(start)
    this.#inner = skip + length
    return { unit: this.#starts.length - 1, skip }
  }

  units(): Unit[] {
    const coding = { kind: this.#blob.coding }
    const endOf = (i: number): number => this.#starts[i + 1] ?? this.#blob.payloadEnd
    return this.#starts.map((start, i) => ({ blob: 0, start, end: endOf(i), coding, digests: noDigests }))
  }
}

/**
 * Leaves out the files that eStargz added for itself, known by the landmark, as in a layer that is pulled whole: see
 * docs/tree.md.
 */
function withoutOwn(files: readonly IndexedFile[]): readonly IndexedFile[] {
  const isOwn = ({ entry }: IndexedFile): boolean => ownNames.has(entry.path) && entry.type === 'file'
  const isLandmark = (file: IndexedFile): boolean =>
    isOwn(file) &&
    file.entry.path !== tocName &&
    file.extents.length === 1 &&
    file.extents[0]!.digests.sha256 === landmarkDigest
  return files.some(isLandmark) ? files.filter((file) => !isOwn(file)) : files
}

/** The chunk size that the table shows: only files that were cut say it. */
function chunkSizeOf(groups: readonly RawFile[]): number {
  let largest = defaultChunkSize
  for (const { size, parts } of groups) {
    if (parts.length > 1) return sizeIn(parts[0]!, 'chunkSize')
    if (size > largest) largest = size
  }
  return largest
}
