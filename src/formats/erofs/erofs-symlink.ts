import { S_IFLNK, S_IFMT } from '../tree.ts'
import { bad, unsupported } from './erofs-error.ts'
import type { RawInode } from './erofs-inode.ts'
import { chunkBased, targetMax } from './erofs-records.ts'
import type { ErofsVolume, Span } from './erofs-volume.ts'
import { flatSpans } from './flat-data.ts'

/** The stretches of the image in which a symlink's target lies, checked to be one that the kernel takes. */
export function targetSpans(volume: ErofsVolume, inode: RawInode): Span[] {
  const { nid, size } = inode
  if (size === 0 || size > targetMax) throw bad(`symlink ${nid} has a target of ${size} bytes`)
  if ((inode.mode & S_IFMT) !== S_IFLNK || inode.layout === chunkBased)
    throw unsupported(`inode ${nid} is no symlink with flat data`)
  const spans = flatSpans(volume, inode)
  const { buffer } = volume.bytes
  for (const [from, to] of spans)
    for (let at = from; at < to; at++) if (buffer[at] === 0) throw bad(`symlink ${nid} has a zero byte in its target`)
  return spans
}
