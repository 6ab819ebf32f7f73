import type { Digest, VerityDigest } from '../../digest.ts'
import type { Platform } from '../../formats/oci/descriptor.ts'
import type { PartialPolicy } from '../fetch/layer-outlook.ts'
import type { ImportLimits } from '../import/layer-job.ts'
import type { OnProgress } from '../progress.ts'
import type { SealOptions } from '../seal/seal-check.ts'

export interface PullOptions extends SealOptions {
  /** Name of the image in the store; default: the source as written. */
  readonly name?: string
  /** Platform of the image to take from an index; default: that of this machine. */
  readonly platform?: Platform
  readonly allPlatforms?: boolean
  /** Keeps `security.selinux` from layers. */
  readonly keepSelinux?: boolean
  readonly limits?: Partial<ImportLimits>
  /** Policy for layers that bring a table of contents; default: by parts where that saves enough. */
  readonly partial?: PartialPolicy
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
}

export interface PullResult {
  readonly name: string
  readonly top: Digest
  readonly images: readonly PulledImage[]
  readonly stats: PullStats
}

export interface PulledImage {
  readonly manifest: Digest
  readonly config: Digest
  readonly image: VerityDigest
  readonly platform: string
  /** Number of layers that only matched their table of contents. */
  readonly believed: number
}

/** Totals of a pull: of the layers that were pulled, files, bytes and how many came by parts; and what was new. */
export interface PullStats {
  readonly layersPulled: number
  readonly layersPresent: number
  /** Number of layers of which only parts were fetched; they are among those that were pulled. */
  readonly layersByParts: number
  readonly files: number
  readonly blobBytes: number
  readonly tarBytes: number
  /** Number of objects the store did not hold before. */
  readonly newObjects: number
  /** Total size of those objects, in bytes. */
  readonly newBytes: number
}

export function noStats(): Mutable<PullStats> {
  return {
    layersPulled: 0,
    layersPresent: 0,
    layersByParts: 0,
    files: 0,
    blobBytes: 0,
    tarBytes: 0,
    newObjects: 0,
    newBytes: 0,
  }
}

export type Mutable<T> = { -readonly [K in keyof T]: T[K] }
