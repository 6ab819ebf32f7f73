import { noDigests } from '../content-digests.ts'
import type { ContentIndex } from '../content-index.ts'
import { unsupported } from '../erofs/erofs-error.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import type { IndexLimits } from '../format.ts'
import { IndexBudget } from './index-budget.ts'
import { impliedRootMode } from './index-inode.ts'
import { IndexWalk } from './index-walk.ts'
import { type TarPlace, takeApart } from './tar-extents.ts'

export interface IndexFacts {
  readonly tar: TarPlace
  /**
   * Numbers of the directories that the tar has no entry for. Where nobody says, that is the root if it looks like the one
   * that writers begin with.
   */
  readonly implied: ReadonlySet<number> | undefined
}

/**
 * Reads an index as the layer that its tar is. Throws BAD_FORMAT for an index that contradicts itself or the tar, LIMIT,
 * UNSUPPORTED for one that is not over one tar alone.
 */
export function readTarIndex(bytes: Uint8Array, facts: IndexFacts, limits: Required<IndexLimits>): ContentIndex {
  const reader = new ErofsReader(bytes, { otherDevices: true })
  const { length } = reader.devices
  if (length !== 1) throw unsupported(`it is over ${length} devices; expected one, which is the tar`)
  const { tar, implied = guessImplied(reader) } = facts
  const walk = new IndexWalk(reader, tar, implied, new IndexBudget(limits))
  walk.run()
  const { units, extents } = takeApart(walk.entries.map(({ stretches }) => stretches))
  const files = walk.entries.map(({ entry }, i) => ({ entry, digests: noDigests, extents: extents[i] ?? [] }))
  // The index says nothing of contents: whatever vouches for it, nothing does for what is read by it.
  return {
    format: 'erofs-tar',
    scope: 'layer',
    bound: false,
    blobs: [tar.blob],
    units,
    files,
    chunking: { kind: 'none' },
  }
}

/** Takes the root for implied if it is as writers have it before an entry says otherwise. */
function guessImplied(reader: ErofsReader): ReadonlySet<number> {
  const { rootNid, buildTime } = reader
  const { mode, uid, gid, mtime, mtimeNsec, xattrBytes } = reader.inode(rootNid)
  const isMadeUp = (mode & 0o7777) === impliedRootMode && uid + gid + mtimeNsec + xattrBytes === 0
  return new Set(isMadeUp && mtime === buildTime ? [rootNid] : [])
}
