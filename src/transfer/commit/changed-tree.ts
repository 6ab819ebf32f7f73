import { type Content, type Entry, inlineMax, sizeOf } from '../../formats/entry.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import type { Directory } from '../../formats/tree.ts'
import { Merge } from '../../image/merge/apply-layers.ts'
import type { LayerName } from '../../image/upper/upper-layer.ts'
import { directoryRoot } from '../../sources/local/rootfs-source.ts'
import { type WalkedEntry, walkEntries } from '../../scan/walk-entries.ts'
import { changesIn } from './commit-layer.ts'

export interface ChangedTreeOptions {
  readonly keepSelinux: boolean
  readonly signal?: AbortSignal | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * Returns the tree that an image becomes with the changes of an upper directory: the tree of the image that a commit
 * would make. Nothing is stored; changed files are read for their digests.
 * @param lower the tree of the image, which is left as it is
 * @param base another copy of `lower`, which is changed
 */
export async function changedTree(
  lower: Directory,
  base: Directory,
  upper: string,
  { keepSelinux, signal, onWarning = () => {} }: ChangedTreeOptions,
): Promise<Directory> {
  const root = await directoryRoot(upper)
  const found = walkEntries(root, { omit: new Set(), onWarning })
  const names = changesIn(found, { kind: 'upper', path: upper }, { lower, keepSelinux, onWarning })
  const merge = new Merge({ keepSelinux }, base)
  merge.apply(hashed(names, signal), 'layer')
  return merge.finish()
}

function* hashed(names: Iterable<LayerName<WalkedEntry>>, signal: AbortSignal | undefined): Generator<Entry> {
  for (const { entry, found } of names) {
    signal?.throwIfAborted()
    const isRead = found !== undefined && entry.type === 'file' && sizeOf(entry.content) > 0
    yield isRead ? { ...entry, content: contentOf(found, sizeOf(entry.content)) } : entry
  }
}

function contentOf(found: WalkedEntry, size: number): Content {
  if (size <= inlineMax)
    return { kind: 'inline', bytes: Buffer.concat([...found.content()].map((chunk) => chunk.slice())) }
  const hasher = new VerityHasher()
  for (const chunk of found.content()) hasher.update(chunk)
  return { kind: 'object', digest: hasher.digest(), size }
}
