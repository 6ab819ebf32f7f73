/**
 * The ways in which EROFS lays out the data of an inode, each in a file of its own. A new one is a file and a line here.
 *
 * An inode of a layout that is not here is refused when it is met: what its bytes are could not be told.
 */
import type { OnefoldError } from '../../error.ts'
import { chunkData } from './chunk-data.ts'
import { unsupported } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { chunkBased, compressedCompact, compressedFull, flatInline, flatPlain } from './erofs-records.ts'
import type { ErofsVolume } from './erofs-volume.ts'
import { flatData } from './flat-data.ts'

/** The bytes of an inode in order, in pieces that are views of the image or of a block of zeros. */
type DataReader = (volume: ErofsVolume, inode: RawInode) => Generator<Uint8Array>

const readers: Readonly<Partial<Record<number, DataReader>>> = {
  [flatPlain]: flatData,
  [flatInline]: flatData,
  [chunkBased]: chunkData,
}

/**
 * Reads the data of an inode. A chunk-based file may claim any size with hardly any bytes behind it: the caller sets the
 * limit.
 */
export function readData(volume: ErofsVolume, inode: RawInode): Generator<Uint8Array> {
  const reader = readers[inode.layout]
  if (reader === undefined) throw unknownLayout(inode.layout, inode.nid)
  return reader(volume, inode)
}

/** Throws UNSUPPORTED for an inode of a layout that cannot be read. */
export function checkLayout({ layout, nid }: RawInode): void {
  if (readers[layout] === undefined) throw unknownLayout(layout, nid)
}

function unknownLayout(layout: number, nid: number): OnefoldError {
  const isCompressed = layout === compressedFull || layout === compressedCompact
  return unsupported(isCompressed ? `inode ${nid} is compressed` : `inode ${nid} has data layout ${layout}`)
}
