import type { Arena } from '../../../content/arena.ts'
import type { UnitReader } from '../../../content/unit-reader.ts'
import type { VerityDigest } from '../../../digest.ts'
import type { Extent } from '../../../formats/content-index.ts'
import type { Store } from '../../../store/store.ts'

/**
 * Possible origin of the bytes of a missing extent: the blob itself, a chunk of another object, nowhere because they
 * are zeros. A plan asks each origin in turn, cheapest first, and the first that has the bytes gives them; whatever
 * they are, they are checked against the digests of the extent and of the file.
 */
export interface Origin<Place = unknown> {
  /** Sum of a plan under which the bytes are counted; only missing ones are fetched. */
  readonly counts: 'zeroBytes' | 'chunkBytes' | 'missingBytes'
  /** True when the bytes lie in files whose blocks a file system may share. */
  readonly isShared: boolean
  /**
   * Returns the place where this origin has the bytes; undefined where it does not have them. Does no I/O: what there
   * is was found out before.
   */
  find(extent: Extent): Place | undefined
  /** Returns the objects that were relied on for a place, to be forgotten when the bytes turned out to be others. */
  objects?(place: Place): readonly VerityDigest[]
  /** Opens what is needed to deliver bytes. */
  open(work: AssemblyWork): OpenOrigin<Place>
}

export interface OpenOrigin<Place = unknown> extends Disposable {
  /** Gives the bytes of an extent to the sink, in order. */
  deliver(extent: Extent, place: Place, sink: PieceSink): Promise<void> | void
  /** Lets go of what one file needed. */
  endFile?(): void
}

/** Sink for the bytes of one file: hashed, then staged. */
export interface PieceSink {
  /** Takes bytes that are good until the arena wraps. */
  write(bytes: Uint8Array): void
  /** Takes bytes that also lie at `offset` of an open file, which stays open until the file's end. */
  share(bytes: Uint8Array, fd: number, offset: number): void
}

/** Extent of a file, and the place that its bytes come from. */
export interface Piece<Place = unknown> {
  readonly extent: Extent
  readonly origin: Origin<Place>
  readonly place: Place
}

/** Resources that origins may use while a layer is put together. */
export interface AssemblyWork {
  readonly store: Store
  readonly arena: Arena
  readonly units: UnitReader
}

/** Returns the piece of the first origin that has the bytes; undefined when none has. */
export function findPiece(extent: Extent, origins: readonly Origin[]): Piece | undefined {
  for (const origin of origins) {
    const place = origin.find(extent)
    if (place !== undefined) return { extent, origin, place }
  }
  return undefined
}
