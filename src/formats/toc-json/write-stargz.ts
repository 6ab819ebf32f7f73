/** The part of a blob that eStargz and stargz' zstd dialect write alike: the tar in members, and the table of them. */
import { OnefoldError } from '../../error.ts'
import { BlobWriter, MemberBuffer } from './blob-members.ts'
import { StargzLayer, type StargzRules } from './stargz-builder.ts'
import { defaultChunkSize } from './stargz-options.ts'
import { TarFeed } from './tar-feed.ts'
import type { WriteOptions } from './toc-written.ts'

export interface StargzOptions extends WriteOptions {
  /** Content bytes of a chunk; default 4 MiB. */
  readonly chunkSize?: number | undefined
  /** A member takes further files until it decodes to so many bytes; 0, the default, gives every chunk its own. */
  readonly minChunkSize?: number | undefined
  /** So many entries at the beginning of the tar are worth prefetching; a landmark marks where they end. */
  readonly prioritized?: number | undefined
  /** Leaves the tar as it is, without a landmark; not with a table inside of it. */
  readonly keepTar?: boolean | undefined
}

/** A blob that lacks nothing but its end. */
export interface StargzBody {
  readonly layer: StargzLayer
  readonly blob: BlobWriter
  /** The table's JSON. */
  readonly json: Buffer
}

/**
 * Yields the blob up to the table.
 * @param tar its pieces need to be valid only until the next is asked for
 */
export async function* writeStargzBody(
  tar: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  options: StargzOptions,
  endsWithToc: boolean,
): AsyncGenerator<Uint8Array, StargzBody> {
  const { compress, ahead, onLoss } = options
  const rules = rulesOf(options, endsWithToc)
  const members = new MemberBuffer()
  const blob = new BlobWriter(compress, ahead)
  const layer = new StargzLayer(members, rules)
  const feed = new TarFeed(layer, onLoss)
  for await (const bytes of tar) {
    feed.write(bytes)
    yield* blob.write(members.take())
  }
  feed.end()
  yield* blob.flush(members)
  return { layer, blob, json: layer.table() }
}

function rulesOf(options: StargzOptions, endsWithToc: boolean): StargzRules {
  const { chunkSize = defaultChunkSize, minChunkSize = 0, prioritized = 0, keepTar = false, onLoss } = options
  if (![chunkSize, minChunkSize, prioritized].every((n) => Number.isSafeInteger(n) && n >= 0) || chunkSize === 0)
    throw usage('sizes and counts are whole numbers, and a chunk has at least one byte')
  if (keepTar && endsWithToc) throw usage('a table inside the tar changes it')
  if (keepTar && onLoss !== undefined) throw usage('what the table cannot hold is changed in the tar, too')
  if (keepTar && prioritized > 0) throw usage('a landmark changes the tar')
  return { chunkSize, minChunkSize, prioritized, keepTar, endsWithToc }
}

function usage(found: string): OnefoldError {
  return new OnefoldError('USAGE', `Cannot write a table of stargz: ${found}`)
}
