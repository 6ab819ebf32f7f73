/** Finds the content of files in a tar: chunks of an index as extents, and the parts of the tar that these need. */
import { noDigests } from '../content-digests.ts'
import type { Extent, Unit } from '../content-index.ts'
import type { Chunk } from '../erofs/chunk-data.ts'
import { bad, unsupported } from '../erofs/erofs-error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { tarDevice } from './write-index.ts'

/** The tar that an index is over. */
export interface TarPlace {
  readonly blob: Descriptor
  /** Its first byte in the blob. */
  readonly start: number
}

/** Bytes of a file that follow one another in the blob, or a hole. */
export interface Stretch {
  /** The first byte in the file. */
  readonly offset: number
  readonly length: number
  /** The first byte in the blob; undefined: a hole. */
  readonly start: number | undefined
}

/** The parts of a blob that files lie in. */
export interface Parts {
  readonly units: readonly Unit[]
  /** Extents of each file. */
  readonly extents: readonly (readonly Extent[])[]
}

/** Joins chunks of a file that follow one another; throws BAD_FORMAT for what is not in the tar. */
export function joinChunks(chunks: Iterable<Chunk>, tar: TarPlace, blockSize: number): Stretch[] {
  const stretches: Stretch[] = []
  let offset = 0
  for (const { length, address } of chunks) {
    const start = address && startOf(address, length, tar, blockSize)
    const last = stretches.at(-1)
    if (last !== undefined && follows(last, start)) stretches.splice(-1, 1, { ...last, length: last.length + length })
    else stretches.push({ offset, length, start })
    offset += length
  }
  return stretches
}

function startOf(address: NonNullable<Chunk['address']>, length: number, tar: TarPlace, blockSize: number): number {
  if (address.device !== tarDevice) throw unsupported(`a file lies on device ${address.device}, which is not the tar`)
  const start = tar.start + address.block * blockSize
  if (start + length > tar.blob.size) throw bad(`a file would end at byte ${start + length} of ${tar.blob.size}`)
  return start
}

function follows({ start, length }: Stretch, next: number | undefined): boolean {
  return start === undefined ? next === undefined : start + length === next
}

/** Makes one unit of each stretch; throws BAD_FORMAT where two are the same bytes, of which a tar has none. */
export function takeApart(files: readonly (readonly Stretch[])[]): Parts {
  const placed = files.flatMap((stretches) => stretches.filter(isPlaced)).sort((a, b) => a.start - b.start)
  const numbers = new Map<Stretch, number>(placed.map((stretch, i) => [stretch, i]))
  const units = placed.map(({ start, length }): Unit => {
    return { blob: 0, start, end: start + length, coding: { kind: 'stored' }, digests: noDigests }
  })
  units.forEach(({ end }, i) => {
    const next = units[i + 1]
    if (next !== undefined && next.start < end) throw bad(`two files lie at byte ${next.start} of the tar`)
  })
  return { units, extents: files.map((stretches) => stretches.map((stretch) => extentOf(stretch, numbers))) }
}

function isPlaced(stretch: Stretch): stretch is Stretch & { readonly start: number } {
  return stretch.start !== undefined
}

function extentOf(stretch: Stretch, numbers: ReadonlyMap<Stretch, number>): Extent {
  const { offset, length } = stretch
  return { offset, length, digests: noDigests, unit: numbers.get(stretch), skip: 0 }
}
