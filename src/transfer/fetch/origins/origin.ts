import type { Arena } from '../../../content/arena.ts'
import type { UnitReader } from '../../../content/unit-reader.ts'
import type { VerityDigest } from '../../../digest.ts'
import type { Extent } from '../../../formats/content-index.ts'
import type { Store } from '../../../store/store.ts'

/**
 * Where the bytes of a missing extent may come from: the blob itself, a chunk of another object, nowhere because they are
 * zeros. A plan asks each origin in turn, cheapest first, and the first that has the bytes gives them; whatever they are,
 * they are checked against the digests of the extent and of the file.
 */
export interface Origin<Place = unknown> {
  /** Under which of a plan's sums the bytes are counted; only missing ones are fetched. */
  readonly counts: 'zeroBytes' | 'chunkBytes' | 'missingBytes'
  /** Whether the bytes lie in files whose blocks a file system may share. */
  readonly isShared: boolean
  /** Where this origin has the bytes; undefined where it has not. Does no I/O: what there is was found out before. */
  find(extent: Extent): Place | undefined
  /** Objects that were relied on for a place, to be forgotten when the bytes turned out to be others. */
  objects?(place: Place): readonly VerityDigest[]
  /** Opens what is needed to give bytes out. */
  open(work: AssemblyWork): OpenOrigin<Place>
}

export interface OpenOrigin<Place = unknown> extends Disposable {
  /** Gives the bytes of an extent to the sink, in order. */
  deliver(extent: Extent, place: Place, sink: PieceSink): Promise<void> | void
  /** Lets go of what one file needed. */
  endFile?(): void
}

/** Takes the bytes of one file: hashed, then staged. */
export interface PieceSink {
  /** Takes bytes that are good until the arena wraps. */
  write(bytes: Uint8Array): void
  /** Takes bytes that also lie at `offset` of an open file, which stays open until the file's end. */
  share(bytes: Uint8Array, fd: number, offset: number): void
}

/** An extent of a file, and where its bytes come from. */
export interface Piece<Place = unknown> {
  readonly extent: Extent
  readonly origin: Origin<Place>
  readonly place: Place
}

/** What origins may use while a layer is put together. */
export interface AssemblyWork {
  readonly store: Store
  readonly arena: Arena
  readonly units: UnitReader
}

/** The piece of the first origin that has the bytes; undefined when none has. */
export function findPiece(extent: Extent, origins: readonly Origin[]): Piece | undefined {
  for (const origin of origins) {
    const place = origin.find(extent)
    if (place !== undefined) return { extent, origin, place }
  }
  return undefined
}
