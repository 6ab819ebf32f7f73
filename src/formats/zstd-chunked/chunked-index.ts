import { checkDigest, isDigest } from '../../digest.ts'
import type { ContentIndex } from '../content-index.ts'
import type { IndexLimits } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Reading, readRange, readTail } from '../reading.ts'
import { checkDecodedSize, maxTocGap, readTocRange } from '../toc-json/read-toc.ts'
import {
  type Position,
  badAnnotation,
  digestAnnotation,
  isZstd,
  positionAnnotation,
} from '../toc-json/toc-annotations.ts'
import { checkWithin } from '../toc-json/toc-files.ts'
import { type TocDocument, badToc, readTocJson } from '../toc-json/toc-json.ts'
import { unpackZstd } from '../toc-json/unpack-zstd.ts'
import { frameStart, maxZstdFooterBytes, parseZstdFooter } from '../toc-json/zstd-footer.ts'
import { chunkedChecksum, chunkedPosition, chunkedTarSplit } from './chunked-annotations.ts'
import { readChunkedTable } from './read-chunked.ts'
import { readTarSplit } from './read-tar-split.ts'
import { chunkedBinding } from './chunked-binding.ts'
import { tableReader } from '../toc-json/table-reader.ts'

/** Reads the tables of zstd:chunked, and the tar-split beside them, from the end of the blob. */
export const chunkedIndex = tableReader({
  binding: chunkedBinding,
  mayHaveTable: (layer) => isZstd(layer.mediaType),
  open: openChunked,
})

function* openChunked(
  layer: Descriptor,
  isBound: boolean,
  limits: Required<IndexLimits>,
): Reading<ContentIndex | undefined> {
  const positions = yield* positionsOf(layer, isBound)
  if (positions === undefined) return undefined
  const { toc, tarSplit } = positions
  checkPositions(positions, layer, limits)
  // The two are neighbours: one request.
  const together = tarSplit !== undefined && tarSplit.start - toc.end <= maxTocGap
  const span = { start: toc.start, end: together ? tarSplit.end : toc.end }
  const bytes = yield* readTocRange('the table', layer, span, layer.size, limits)
  const checksum = digestAnnotation(layer, chunkedChecksum)
  const packed = bytes.subarray(0, toc.end - toc.start)
  if (checksum !== undefined) checkDigest(packed, checksum, 'the compressed table of contents of a layer')
  const document = readTocJson(unpackZstd(packed, toc.size, 'the table'), limits)
  const blob = { layer, bound: checksum !== undefined, payloadEnd: frameStart(toc) }
  const table = readChunkedTable(document, blob, limits)
  // Without its digest in the table, nothing binds a tar-split.
  if (document.tarSplitDigest === undefined) return table
  if (tarSplit === undefined) throw badToc('it has the digest of a tar-split that no annotation places')
  const split = together
    ? bytes.subarray(tarSplit.start - toc.start)
    : yield* readRange(layer, tarSplit.start, tarSplit.end)
  return { ...table, tarSplit: readTarSplit(unpackSplit(split, tarSplit, document), table.files, limits) }
}

interface Positions {
  readonly toc: Position
  readonly tarSplit: Position | undefined
}

function* positionsOf(layer: Descriptor, isBound: boolean): Reading<Positions | undefined> {
  const toc = isBound ? positionAnnotation(layer, chunkedPosition, 4) : undefined
  if (toc !== undefined) return { toc, tarSplit: positionAnnotation(layer, chunkedTarSplit, 3) }
  const footer = parseZstdFooter(yield* readTail(layer, maxZstdFooterBytes))
  if (footer?.dialect !== 'containers') {
    if (isBound) throw badAnnotation('neither an annotation nor its footer says where it lies')
    return undefined
  }
  const { tarSplit } = footer
  // Blobs of writers from before there was a tar-split have zeros there.
  return { toc: footer.toc, tarSplit: tarSplit?.start === 0 ? undefined : tarSplit }
}

function checkPositions({ toc, tarSplit }: Positions, layer: Descriptor, limits: Required<IndexLimits>): void {
  checkDecodedSize('the table', toc, limits)
  if (tarSplit === undefined) return
  checkDecodedSize('the tar-split', tarSplit, limits)
  checkWithin('the tar-split', tarSplit.start, tarSplit.end, layer.size)
  if (tarSplit.start < toc.end) throw badToc('the tar-split lies before the table')
}

function unpackSplit(packed: Uint8Array, place: Position, { tarSplitDigest }: TocDocument): Uint8Array {
  if (typeof tarSplitDigest !== 'string' || !isDigest(tarSplitDigest)) throw badToc('its tarSplitDigest is no digest')
  checkDigest(packed, tarSplitDigest, 'the compressed tar-split of a layer')
  return unpackZstd(packed, place.size, 'the tar-split')
}
