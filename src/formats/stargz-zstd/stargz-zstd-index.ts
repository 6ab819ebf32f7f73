import { checkDigest } from '../../digest.ts'
import type { ContentIndex } from '../content-index.ts'
import type { IndexLimits } from '../format.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { type Reading, readTail } from '../reading.ts'
import { checkDecodedSize, checkStargzJson, readTocRange } from '../toc-json/read-toc.ts'
import { readStargzTable } from '../toc-json/stargz-table.ts'
import {
  type Position,
  badAnnotation,
  digestAnnotation,
  isZstd,
  positionAnnotation,
} from '../toc-json/toc-annotations.ts'
import { readTocJson } from '../toc-json/toc-json.ts'
import { unpackZstd } from '../toc-json/unpack-zstd.ts'
import { frameStart, maxZstdFooterBytes, parseZstdFooter } from '../toc-json/zstd-footer.ts'
import { stargzZstdChecksum, stargzZstdPosition } from './stargz-zstd-annotations.ts'
import { stargzZstdBinding } from './stargz-zstd-binding.ts'
import { tableReader } from '../toc-json/table-reader.ts'

/** Reads the tables of stargz' zstd dialect, from the end of the blob. */
export const stargzZstdIndex = tableReader({
  binding: stargzZstdBinding,
  mayHaveTable: (layer) => isZstd(layer.mediaType),
  open: openStargzZstd,
})

function* openStargzZstd(
  layer: Descriptor,
  isClaimed: boolean,
  limits: Required<IndexLimits>,
): Reading<ContentIndex | undefined> {
  const toc = (isClaimed ? positionAnnotation(layer, stargzZstdPosition, 4) : undefined) ?? (yield* footerOf(layer))
  if (toc === undefined) {
    if (isClaimed) throw badAnnotation('neither an annotation nor its footer says where it lies')
    return undefined
  }
  checkDecodedSize('the table', toc, limits)
  const packed = yield* readTocRange('the table', layer, toc, layer.size, limits)
  const checksum = digestAnnotation(layer, stargzZstdChecksum)
  if (checksum !== undefined) checkDigest(packed, checksum, 'the compressed table of contents of a layer')
  const json = unpackZstd(packed, toc.size, 'the table')
  const bound = checkStargzJson(layer, json) || checksum !== undefined
  const blob = { format: 'stargz-zstd', layer, bound, payloadEnd: frameStart(toc), coding: 'zstd' } as const
  return readStargzTable(readTocJson(json, limits), blob, limits)
}

function* footerOf(layer: Descriptor): Reading<Position | undefined> {
  const footer = parseZstdFooter(yield* readTail(layer, maxZstdFooterBytes))
  return footer?.dialect === 'stargz' ? footer.toc : undefined
}
