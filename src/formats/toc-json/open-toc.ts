/**
 * Reads the table of a layer, whichever of the three formats it is in, without any I/O: asks for parts of the blob and is
 * given them.
 *
 *     const reading = openToc(layer)
 *     for (let step = reading.next(); ; step = reading.next(await fetch(step.value)))
 *       if (step.done) return step.value
 */
import { checkDigest, isDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import type { Descriptor } from '../entry.ts'
import { maxFooterBytes, parseEstargzFooter } from '../estargz/estargz-footer.ts'
import { unpackToc } from '../estargz/unpack-toc.ts'
import { type Position, maxZstdFooterBytes, parseZstdFooter } from '../stargz-zstd/zstd-footer.ts'
import type { TocFormat, TocLayer } from '../toc.ts'
import { readChunkedLayer } from '../zstd-chunked/read-chunked.ts'
import { readTarSplit } from '../zstd-chunked/read-tar-split.ts'
import {
  badAnnotation,
  boundToc,
  chunkedChecksum,
  chunkedPosition,
  chunkedTarSplit,
  digestAnnotation,
  frameStart,
  isZstd,
  positionAnnotation,
  stargzTocDigest,
  stargzZstdChecksum,
  stargzZstdPosition,
} from './toc-annotations.ts'
import { checkWithin } from './toc-files.ts'
import { type TocDocument, type TocLimits, badToc, defaultTocLimits, readTocJson, tooLarge } from './toc-json.ts'
import { readStargzLayer } from './stargz-table.ts'
import { unpackZstd } from './unpack-zstd.ts'

export type TocNeed =
  /** Exactly these bytes of the layer's blob. */
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  /** The whole blob that holds the layer's table, found by `stargzLayerDigest` in the image named `…-esgztoc`. */
  | { readonly kind: 'external-toc' }

export interface TocOptions extends TocLimits {
  /** Takes what the blob itself says of its table where the manifest binds none. */
  readonly unbound?: boolean
}

export type TocReading = Generator<TocNeed, TocLayer | undefined, Uint8Array>

/**
 * Returns undefined when the layer has no table. A table that its digest does not fit throws DIGEST_MISMATCH; one that
 * lies BAD_FORMAT; too large a one LIMIT; what is well-formed and of no use here UNSUPPORTED: the layer can still be
 * pulled whole, but after a mismatch or a lie nobody should trust where it came from.
 */
export function* openToc(layer: Descriptor, options: TocOptions = {}): TocReading {
  const limits = { ...defaultTocLimits, ...options }
  const format = boundToc(layer) ?? (options.unbound === true ? yield* guessFormat(layer) : undefined)
  switch (format) {
    case undefined:
      return undefined
    case 'estargz':
      return yield* openEstargz(layer, limits)
    case 'stargz-zstd':
      return yield* openStargzZstd(layer, limits)
    default:
      return yield* openChunked(layer, limits)
  }
}

type Reading<T> = Generator<TocNeed, T, Uint8Array>

function* guessFormat(layer: Descriptor): Reading<Exclude<TocFormat, 'soci'> | undefined> {
  if (isZstd(layer.mediaType)) return parseZstdFooter(yield* tailOf(layer, maxZstdFooterBytes))?.dialect
  return parseEstargzFooter(yield* tailOf(layer, maxFooterBytes)) === undefined ? undefined : 'estargz'
}

function* openEstargz(layer: Descriptor, limits: Required<TocLimits>): Reading<TocLayer> {
  const footer = parseEstargzFooter(yield* tailOf(layer, maxFooterBytes))
  if (footer === undefined) throw badAnnotation('its blob does not end with the footer of eStargz')
  const footerStart = layer.size - footer.length
  let packed: Uint8Array
  if (footer.tocOffset === undefined) packed = yield { kind: 'external-toc' }
  else packed = yield* range('the table', footer.tocOffset, footerStart, footerStart, limits)
  if (packed.length > limits.maxTocBytes) throw tooLarge('the table', packed.length, limits)
  const json = unpackToc(packed, limits.maxTocBytes)
  const bound = checkJson(layer, json)
  const payloadEnd = footer.tocOffset ?? footerStart
  return readStargzLayer(readTocJson(json, limits), { format: 'estargz', bound, payloadEnd }, limits)
}

function* openStargzZstd(layer: Descriptor, limits: Required<TocLimits>): Reading<TocLayer> {
  const toc =
    positionAnnotation(layer, stargzZstdPosition, 4) ?? parseZstdFooter(yield* tailOf(layer, maxZstdFooterBytes))?.toc
  if (toc === undefined) throw badAnnotation('neither an annotation nor its footer says where it lies')
  checkSize('the table', toc, limits)
  const packed = yield* range('the table', toc.start, toc.end, layer.size, limits)
  const checksum = digestAnnotation(layer, stargzZstdChecksum)
  if (checksum !== undefined) checkDigest(packed, checksum, 'the compressed table of contents of a layer')
  const json = unpackZstd(packed, toc.size, 'the table')
  const bound = checkJson(layer, json) || checksum !== undefined
  const payloadEnd = frameStart(toc)
  return readStargzLayer(readTocJson(json, limits), { format: 'stargz-zstd', bound, payloadEnd }, limits)
}

/** The JSON against the digest that eStargz and stargz' zstd dialect share; false when there is none. */
function checkJson(layer: Descriptor, json: Uint8Array): boolean {
  const digest = digestAnnotation(layer, stargzTocDigest)
  if (digest === undefined) return false
  checkDigest(json, digest, 'the table of contents of a layer')
  return true
}

function* openChunked(layer: Descriptor, limits: Required<TocLimits>): Reading<TocLayer> {
  const { toc, tarSplit } = yield* chunkedPositions(layer)
  checkSize('the table', toc, limits)
  if (tarSplit !== undefined) {
    checkSize('the tar-split', tarSplit, limits)
    checkWithin('the tar-split', tarSplit.start, tarSplit.end, layer.size)
    if (tarSplit.start < toc.end) throw badToc('the tar-split lies before the table')
  }
  // The two are neighbours: one request.
  const together = tarSplit !== undefined && tarSplit.start - toc.end <= maxGap
  const bytes = yield* range('the table', toc.start, together ? tarSplit.end : toc.end, layer.size, limits)
  const checksum = digestAnnotation(layer, chunkedChecksum)
  const packed = bytes.subarray(0, toc.end - toc.start)
  if (checksum !== undefined) checkDigest(packed, checksum, 'the compressed table of contents of a layer')
  const document = readTocJson(unpackZstd(packed, toc.size, 'the table'), limits)
  const table = readChunkedLayer(document, checksum !== undefined, frameStart(toc), limits)
  // Without its digest in the table, nothing binds a tar-split.
  if (document.tarSplitDigest === undefined) return table
  if (tarSplit === undefined) throw badToc('it has the digest of a tar-split that no annotation places')
  const split = together
    ? bytes.subarray(tarSplit.start - toc.start)
    : yield* range('the tar-split', tarSplit.start, tarSplit.end, layer.size, limits)
  return { ...table, tarSplit: readTarSplit(unpackSplit(split, tarSplit, document), table.files, limits) }
}

const maxGap = 1024

function* chunkedPositions(layer: Descriptor): Reading<{ toc: Position; tarSplit: Position | undefined }> {
  const toc = positionAnnotation(layer, chunkedPosition, 4)
  if (toc !== undefined) return { toc, tarSplit: positionAnnotation(layer, chunkedTarSplit, 3) }
  const footer = parseZstdFooter(yield* tailOf(layer, maxZstdFooterBytes))
  if (footer?.dialect !== 'zstd-chunked') throw badAnnotation('neither an annotation nor its footer says where it lies')
  const { tarSplit } = footer
  // Blobs of writers from before there was a tar-split have zeros there.
  return { toc: footer.toc, tarSplit: tarSplit?.start === 0 ? undefined : tarSplit }
}

function unpackSplit(packed: Uint8Array, place: Position, { tarSplitDigest }: TocDocument): Uint8Array {
  if (typeof tarSplitDigest !== 'string' || !isDigest(tarSplitDigest)) throw badToc('its tarSplitDigest is no digest')
  checkDigest(packed, tarSplitDigest, 'the compressed tar-split of a layer')
  return unpackZstd(packed, place.size, 'the tar-split')
}

function checkSize(what: string, { size }: Position, limits: Required<TocLimits>): void {
  if (size > limits.maxTocBytes) throw tooLarge(what, size, limits)
}

function* tailOf(layer: Descriptor, length: number): Reading<Uint8Array> {
  const start = Math.max(0, layer.size - length)
  return yield* exactly(start, layer.size)
}

function* range(
  what: string,
  start: number,
  end: number,
  blobEnd: number,
  limits: Required<TocLimits>,
): Reading<Uint8Array> {
  checkWithin(what, start, end, blobEnd)
  // Table and tar-split may come in one.
  if (end - start > 2 * limits.maxTocBytes + maxGap) throw tooLarge(what, end - start, limits)
  return yield* exactly(start, end)
}

function* exactly(start: number, end: number): Reading<Uint8Array> {
  const bytes = yield { kind: 'range', start, end }
  if (bytes.length === end - start) return bytes
  throw new OnefoldError('USAGE', `Cannot go on with ${bytes.length} bytes of a blob: asked for ${start} to ${end}`)
}
