/**
 * Writes stargz' dialect of zstd:chunked: the tar with a landmark in it, cut into zstd frames where its files have chunks,
 * then the table and the footer in skippable frames. What the table cannot hold is UNSUPPORTED.
 */
import { digestOf } from '../../digest.ts'
import { type Position, formatPosition, stargzTarSize, stargzTocDigest } from '../toc-json/toc-annotations.ts'
import type { TableFacts } from '../toc-json/toc-written.ts'
import { type StargzOptions, writeStargzBody } from '../toc-json/write-stargz.ts'
import { skippableHeader, skippableHeaderBytes, writeZstdFooter } from '../toc-json/zstd-footer.ts'
import { stargzZstdChecksum, stargzZstdPosition } from './stargz-zstd-annotations.ts'

/**
 * Yields the blob; returns what a manifest says of it.
 * @param tar its pieces need to be valid only until the next is asked for
 */
export async function* writeStargzZstd(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: StargzOptions,
): AsyncGenerator<Uint8Array, TableFacts> {
  const { layer, blob, json } = yield* writeStargzBody(tar, options, false)
  const packed = await options.compress(json)
  const start = blob.size + skippableHeaderBytes
  const toc: Position = { start, end: start + packed.length, size: json.length }
  yield blob.add(Buffer.concat([skippableHeader(packed.length), packed, writeZstdFooter({ toc })]))
  const { diffId, tarSize } = layer.tar()
  const annotations = {
    [stargzTocDigest]: digestOf(json),
    [stargzZstdChecksum]: digestOf(packed),
    [stargzZstdPosition]: `${formatPosition(toc)}:1`,
    [stargzTarSize]: String(tarSize),
  }
  return { diffId, tarSize, annotations }
}
