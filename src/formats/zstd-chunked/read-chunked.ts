/**
 * Reads the table of zstd:chunked (the dialect of containers/storage, which Podman reads) says of the blob. A chunk is
 * what lies between its offset and the next one's; the last of a file ends at endOffset:
 *
 *     frames with headers and padding | frames of a chunk | … of the next | frames with headers … | table | tar-split | footer
 *
 * Frames may be empty, and there may be several where one would do.
 */
import { noDigests } from '../content-digests.ts'
import type { ContentIndex, Unit } from '../content-index.ts'
import { zstd } from '../../codecs/coding.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Place, type RawFile, badOrder, groupEntries, readChunks } from '../toc-json/toc-files.ts'
import { type RawEntry, type TocDocument, type TocLimits, badEntry, sizeIn, textOf } from '../toc-json/toc-json.ts'

export interface ChunkedBlob {
  readonly layer: Descriptor
  readonly bound: boolean
  /** Offset where the frames with the tar end. */
  readonly payloadEnd: number
}

export function readChunkedTable(
  document: TocDocument,
  { layer, bound, payloadEnd }: ChunkedBlob,
  limits: Required<TocLimits>,
): ContentIndex {
  const frames = new Frames(payloadEnd)
  const files = groupEntries(document, limits).map((file) =>
    readChunks(file, (raw, part) => frames.place(raw, endOf(file, part))),
  )
  return {
    format: 'zstd-chunked',
    scope: 'layer',
    bound,
    blobs: [layer],
    files,
    units: frames.units,
    chunking: { kind: 'rollsum' },
  }
}

function endOf({ parts }: RawFile, part: number): number {
  const next = parts[part + 1]
  return next === undefined ? sizeIn(parts[0]!, 'endOffset') : sizeIn(next, 'offset')
}

class Frames {
  readonly units: Unit[] = []
  readonly #payloadEnd: number
  #end = 0

  constructor(payloadEnd: number) {
    this.#payloadEnd = payloadEnd
  }

  place(raw: RawEntry, end: number): Place {
    const start = sizeIn(raw, 'offset')
    if (start < this.#end) throw badOrder(raw)
    if (end <= start || end > this.#payloadEnd)
      throw badEntry(raw, `it would lie from ${start} to ${end} in the blob, the tar ends at ${this.#payloadEnd}`)
    this.#end = end
    const type = textOf(raw, 'chunkType')
    if (type === 'zeros') return { unit: undefined, skip: 0 }
    if (type !== '') throw badEntry(raw, 'its chunkType is unknown')
    return { unit: this.units.push({ blob: 0, start, end, coding: zstd, digests: noDigests }) - 1, skip: 0 }
  }
}
