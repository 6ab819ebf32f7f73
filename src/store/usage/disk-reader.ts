import { type Stats, lstatSync, readdirSync } from 'node:fs'
import { errnoOf } from '../../error.ts'
import { type SharedExtent, sharedExtents } from '../../linux/fiemap.ts'
import { statfs } from '../../linux/statfs.ts'
import { pathFromUtf8 } from '../../paths.ts'

/** File systems on which files can share blocks; on others nobody need be asked. */
const sharingTypes: ReadonlySet<string> = new Set(['xfs', 'btrfs'])
/**
 * Bytes that file systems take for an inode when they make inodes as they need them; others have set them aside from
 * the beginning. XFS: mkfs.xfs makes them of 512 bytes. btrfs: an estimate, from 1,500 to 1,900 with names as ours and
 * everything about files kept twice, as mkfs.btrfs has it.
 */
const inodeBytes: Readonly<Record<string, number>> = { xfs: 512, btrfs: 1600 }
/** Bytes up to which files lie, twice, where btrfs keeps what it knows of them, and claim a block all the same. */
const btrfsInlineMax = 2048
/** The unit of st_blocks, whatever the file system's own blocks are. */
const statBlockBytes = 512

/** The bytes of a file on the disk. */
export interface DiskBytes {
  /** Bytes that are this file's alone. */
  readonly own: number
  /** Blocks that other files have as well. */
  readonly shared: readonly SharedExtent[]
}

/** Reads how much files take on the disk. Blocks that several share are told apart, to be counted once in the end. */
export class DiskReader {
  readonly #sharing: boolean
  /** The blocks that files share, of all that own() was asked about. */
  readonly shared: SharedExtent[] = []

  readonly #inodeBytes: number
  readonly #type: string

  constructor(root: string) {
    const { type } = statfs(pathFromUtf8(root))
    this.#sharing = sharingTypes.has(type)
    this.#type = type
    this.#inodeBytes = inodeBytes[type] ?? 0
  }

  /** All bytes that the file takes, shared or not. */
  full(stat: Stats): number {
    const isInline = this.#type === 'btrfs' && stat.size <= btrfsInlineMax
    return (isInline ? 2 * stat.size : stat.blocks * statBlockBytes) + this.#inodeBytes
  }

  /** Bytes that are this file's alone; what it shares with others goes to `shared`. */
  own(path: string, stat: Stats): number {
    const { own, shared } = this.measure(path, stat)
    for (const extent of shared) this.shared.push(extent)
    return own
  }

  /** The bytes that deleting the file frees: none while it has another name. */
  freedBy(path: string, stat: Stats): DiskBytes {
    return stat.isFile() && stat.nlink > 1 ? { own: 0, shared: nothing } : this.measure(path, stat)
  }

  measure(path: string, stat: Stats): DiskBytes {
    const bytes = this.full(stat)
    if (!this.#sharing || stat.blocks === 0 || !stat.isFile()) return { own: bytes, shared: nothing }
    const shared = sharedExtents(pathFromUtf8(path))
    return { own: Math.max(0, bytes - shared.reduce((sum, { length }) => sum + length, 0)), shared }
  }
}

const nothing: readonly SharedExtent[] = []

/** Bytes that lie in at least `least` of the extents. */
export function bytesCovered(extents: readonly SharedExtent[], least: number): number {
  const edges = extents
    .flatMap(({ physical, length }) => [
      { at: physical, step: 1 },
      { at: physical + length, step: -1 },
    ])
    .sort((a, b) => a.at - b.at || a.step - b.step)
  let covered = 0
  let depth = 0
  let from = 0
  for (const { at, step } of edges) {
    if (depth >= least) covered += at - from
    from = at
    depth += step
  }
  return covered
}

/** Visits a folder and everything in it, but for what vanishes meanwhile. Symlinks are not followed. */
export function visitFiles(path: string, visit: (path: string, stat: Stats) => void): void {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return
  visit(path, stat)
  if (stat.isDirectory()) for (const name of namesIn(path)) visitFiles(`${path}/${name}`, visit)
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  }
}
