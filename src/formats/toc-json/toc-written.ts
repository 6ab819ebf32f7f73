import type { DiffId, Digest } from '../../digest.ts'
import type { Compress } from './blob-members.ts'
import type { OnLoss } from './reduce-entry.ts'

export interface WriteOptions {
  /** Gzip members for eStargz, zstd frames for both dialects of zstd:chunked. */
  readonly compress: Compress
  /** How many members may be with `compress` at a time; the blob is the same for any number. */
  readonly ahead?: number
  /**
   * Given: what the table cannot hold is replaced by the nearest that it can, in the tar as well, so that both still say
   * the same. What has no nearest (a name twice, a name that the format keeps for itself) is refused all the same.
   */
  readonly onLoss?: OnLoss | undefined
}

/** A blob that was written, as its manifest and config say it. */
export interface WrittenLayer {
  readonly digest: Digest
  readonly size: number
  /** Of the tar in the blob: eStargz changes it, unless its table lies elsewhere and there are no landmarks. */
  readonly diffId: DiffId
  readonly tarSize: number
  /** For the layer's descriptor. */
  readonly annotations: Readonly<Record<string, string>>
}
