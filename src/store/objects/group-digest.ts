import { readSync } from 'node:fs'
import { GroupHasher, groupBytes } from '../../formats/fsverity/verity-digest.ts'

/** The groups of one file, for any number of threads: whoever is free takes the next few. */
export interface GroupWork {
  /** Threads share descriptors. */
  readonly fd: number
  readonly groups: number
  /** Int32[1]: the first group that nobody has taken yet. */
  readonly next: SharedArrayBuffer
  /** 32 bytes for each group. */
  readonly hashes: SharedArrayBuffer
}

/**
 * Groups that a thread takes at a time: 8 MiB are read in one go from a disk, and no thread waits long for the last
 * one.
 */
const groupsAtOnce = 16

/** Takes groups until none is left. Throws when the file ends before its last group does. */
export function hashGroups({ fd, groups, next, hashes }: GroupWork): void {
  const hasher = new GroupHasher()
  const counter = new Int32Array(next)
  const out = new Uint8Array(hashes)
  for (let first = take(counter); first < groups; first = take(counter))
    for (let group = first; group < Math.min(first + groupsAtOnce, groups); group++) {
      readGroup(fd, hasher.bytes, group)
      out.set(hasher.hash(), group * 32)
    }
}

function take(counter: Int32Array<SharedArrayBuffer>): number {
  return Atomics.add(counter, 0, groupsAtOnce)
}

function readGroup(fd: number, bytes: Buffer, group: number): void {
  for (let filled = 0; filled < groupBytes;) {
    const length = readSync(fd, bytes, filled, groupBytes - filled, group * groupBytes + filled)
    if (length === 0) throw new RangeError(`it ends in the group at ${group * groupBytes}`)
    filled += length
  }
}
