/**
 * Writes eStargz: the tar with a landmark in it, cut into gzip members where its files have chunks, then the table. What the
 * table cannot hold is UNSUPPORTED.
 */
import { digestOf } from '../../digest.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../tar/tar-writer.ts'
import { ownEntry } from '../toc-json/stargz-builder.ts'
import { tocName } from '../toc-json/stargz-own-files.ts'
import { stargzTarSize, stargzTocDigest } from '../toc-json/toc-annotations.ts'
import type { TableFacts } from '../toc-json/toc-written.ts'
import { type StargzOptions, writeStargzBody } from '../toc-json/write-stargz.ts'
import { writeEstargzFooter } from './estargz-footer.ts'

export interface EstargzOptions extends StargzOptions {
  /** Puts the table into a blob of its own, for the image named `…-esgztoc`: then the tar can be kept. */
  readonly externalToc?: boolean | undefined
}

/**
 * Yields the blob; returns what a manifest says of it.
 * @param tar its pieces need to be valid only until the next is asked for
 */
export async function* writeEstargz(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: EstargzOptions,
): AsyncGenerator<Uint8Array, TableFacts> {
  const { compress, externalToc = false } = options
  const { layer, blob, json } = yield* writeStargzBody(tar, options, !externalToc)
  const file = tocFile(json)
  const packed = await compress(file)
  if (externalToc) yield blob.add(writeEstargzFooter(undefined))
  else {
    layer.hash(file)
    yield blob.add(Buffer.concat([packed, writeEstargzFooter(blob.size)]))
  }
  const { diffId, tarSize } = layer.tar()
  const annotations = { [stargzTocDigest]: digestOf(json), [stargzTarSize]: String(tarSize) }
  return { diffId, tarSize, annotations, ...(externalToc && { index: packed }) }
}

/** The table as the last file of a tar, with the end. */
function tocFile(json: Uint8Array): Buffer {
  const header = writeTarHeader(ownEntry(tocName, json.length), json.length)
  return Buffer.concat([header, json, tarPadding(json.length), tarTrailer()])
}
