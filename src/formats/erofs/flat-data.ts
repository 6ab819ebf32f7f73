import { piecesOf } from './data-pieces.ts'
import { bad } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { flatInline } from './erofs-records.ts'
import type { ErofsVolume, Span } from './erofs-volume.ts'

/** Flat data: whole blocks that follow one another from the one that the inode names, and a tail behind the inode. */
export function* flatData(volume: ErofsVolume, inode: RawInode): Generator<Uint8Array> {
  for (const [from, to] of flatSpans(volume, inode)) yield* piecesOf(volume.bytes, from, to)
}

/** The stretches of the image in which flat data lies. */
export function flatSpans(volume: ErofsVolume, inode: RawInode): Span[] {
  const tail = inode.layout === flatInline ? inode.size % volume.blockSize : 0
  const inBlocks = inode.size - tail
  const spans: Span[] = []
  if (inBlocks > 0) spans.push(volume.blocks(inode.union, inBlocks, 0, 'the data of inode', inode.nid))
  if (inode.layout === flatInline) spans.push(tailSpan(volume, inode, tail))
  return spans
}

function tailSpan({ bytes, blockSize }: ErofsVolume, { nid, tailAt }: RawInode, tail: number): Span {
  const what = 'the data of inode'
  if (tail === 0) throw bad(`${what} ${nid} should have a tail behind the inode and has none`)
  bytes.need(tailAt, tail, what, nid)
  if ((tailAt % blockSize) + tail > blockSize) throw bad(`${what} ${nid} crosses the end of a block`)
  return [tailAt, tailAt + tail]
}
