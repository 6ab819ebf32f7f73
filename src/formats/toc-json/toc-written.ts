import type { LayerFacts } from '../format.ts'
import type { Compress } from './blob-members.ts'
import type { OnLoss } from './reduce-entry.ts'

export interface WriteOptions {
  /** Makes gzip members for eStargz, zstd frames for both dialects of zstd:chunked. */
  readonly compress: Compress
  /** Number of members that may be with `compress` at a time; the blob is the same for any number. */
  readonly ahead?: number
  /**
   * Called, if given, for each entry that the table cannot hold, which is then replaced by the nearest that it can, in
   * the tar as well, so that both still say the same. An entry that has no nearest (a name twice, a name that the
   * format keeps for itself) is refused all the same.
   */
  readonly onLoss?: OnLoss | undefined
}

/** Facts about a layer that was written with a table. */
export interface TableFacts extends LayerFacts {
  readonly tarSize: number
  readonly annotations: Readonly<Record<string, string>>
}
