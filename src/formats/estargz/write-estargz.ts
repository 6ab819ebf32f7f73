/**
 * Writes eStargz, and the same with zstd in stargz' own dialect: the tar with a landmark in it, cut into members where its
 * files have chunks, then the table. What the table cannot hold is UNSUPPORTED.
 */
import { digestOf } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { stargzZstdChecksum, stargzZstdPosition } from '../stargz-zstd/stargz-zstd-annotations.ts'
import { skippableHeader, skippableHeaderBytes, writeZstdFooter } from '../toc-json/zstd-footer.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../tar/tar-writer.ts'
import { type Position, formatPosition, stargzTarSize, stargzTocDigest } from '../toc-json/toc-annotations.ts'
import { BlobWriter, MemberBuffer } from '../toc-json/blob-members.ts'
import { defaultChunkSize, tocName } from '../toc-json/stargz-table.ts'
import { TarFeed } from '../toc-json/tar-feed.ts'
import type { WriteOptions, WrittenLayer } from '../toc-json/toc-written.ts'
import { writeEstargzFooter } from './estargz-footer.ts'
import { StargzLayer, ownEntry } from './estargz-builder.ts'

export interface EstargzOptions extends WriteOptions {
  /** `gzip` unless told otherwise; `zstd` is stargz' own dialect of zstd:chunked. */
  readonly coding?: 'gzip' | 'zstd'
  /** Content bytes of a chunk; default 4 MiB. */
  readonly chunkSize?: number
  /** A member takes further files until it decodes to so many bytes; 0, the default, gives every chunk its own. */
  readonly minChunkSize?: number
  /** So many entries at the beginning of the tar are worth prefetching; a landmark marks where they end. */
  readonly prioritized?: number
  /** Puts the table into a blob of its own (gzip only). */
  readonly externalToc?: boolean
  /** Leaves the tar as it is, without a landmark; not with a table inside of it. */
  readonly keepTar?: boolean
}

export interface EstargzWritten extends WrittenLayer {
  /** The blob with the table, for the image named `…-esgztoc`: see `stargzLayerDigest`. */
  readonly externalToc?: Uint8Array
}

/**
 * Yields the blob; returns what a manifest says of it.
 * @param tar its pieces need to be valid only until the next is asked for
 */
export async function* writeEstargz(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: EstargzOptions,
): AsyncGenerator<Uint8Array, EstargzWritten> {
  const { compress, ahead = 16, coding = 'gzip', externalToc = false, keepTar = false } = options
  checkOptions(options, coding, externalToc, keepTar)
  const members = new MemberBuffer()
  const blob = new BlobWriter(compress, ahead)
  const layer = new StargzLayer(members, {
    chunkSize: options.chunkSize ?? defaultChunkSize,
    minChunkSize: options.minChunkSize ?? 0,
    prioritized: options.prioritized ?? 0,
    keepTar,
    // The table is an entry of the tar, and the end comes after it.
    endsWithToc: coding === 'gzip' && !externalToc,
  })
  const feed = new TarFeed(layer, options.onLoss)
  for await (const bytes of tar) {
    feed.write(bytes)
    yield* blob.write(members.take())
  }
  feed.end()
  yield* blob.flush(members)
  const json = layer.table()
  const annotations: Record<string, string> = { [stargzTocDigest]: digestOf(json) }
  let table: Uint8Array | undefined
  if (coding === 'zstd') {
    const packed = await compress(json)
    const start = blob.size + skippableHeaderBytes
    const toc: Position = { start, end: start + packed.length, size: json.length }
    yield blob.add(Buffer.concat([skippableHeader(packed.length), packed, writeZstdFooter({ toc })]))
    annotations[stargzZstdChecksum] = digestOf(packed)
    annotations[stargzZstdPosition] = `${formatPosition(toc)}:1`
  } else {
    const file = tocFile(json)
    const packed = await compress(file)
    if (externalToc) table = packed
    else layer.hash(file)
    const footer = writeEstargzFooter(externalToc ? undefined : blob.size)
    yield blob.add(externalToc ? footer : Buffer.concat([packed, footer]))
  }
  const { diffId, tarSize } = layer.tar()
  annotations[stargzTarSize] = String(tarSize)
  return {
    digest: blob.digest(),
    size: blob.size,
    diffId,
    tarSize,
    annotations,
    ...(table === undefined ? {} : { externalToc: table }),
  }
}

/** The table as the last file of a tar, with the end. */
function tocFile(json: Uint8Array): Buffer {
  const header = writeTarHeader(ownEntry(tocName, json.length), json.length)
  return Buffer.concat([header, json, tarPadding(json.length), tarTrailer()])
}

function checkOptions(options: EstargzOptions, coding: 'gzip' | 'zstd', externalToc: boolean, keepTar: boolean): void {
  const { chunkSize = 1, minChunkSize = 0, prioritized = 0 } = options
  if (![chunkSize, minChunkSize, prioritized].every((n) => Number.isSafeInteger(n) && n >= 0) || chunkSize === 0)
    throw usage('sizes and counts are whole numbers, and a chunk has at least one byte')
  if (coding === 'zstd' && externalToc) throw usage('a table of its own goes with gzip only')
  if (keepTar && coding === 'gzip' && !externalToc) throw usage('a table inside the tar changes it')
  if (keepTar && options.onLoss !== undefined) throw usage('what the table cannot hold is changed in the tar, too')
  if (keepTar && prioritized > 0) throw usage('a landmark changes the tar')
}

function usage(found: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot write eStargz: ${found}`)
}
