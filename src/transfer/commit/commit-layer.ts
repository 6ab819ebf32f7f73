import type { AbortOptions } from '../../abort.ts'
import { type Content, sizeOf } from '../../formats/entry.ts'
import { quoteName } from '../../formats/path.ts'
import type { Directory } from '../../formats/tree.ts'
import { type LayerName, type OverlayPrefix, layerOf } from '../../image/upper/upper-layer.ts'
import type { PlainLayer } from '../../sources/local/plain-source.ts'
import { directoryRoot, inodesOf } from '../../sources/local/rootfs-source.ts'
import { openTarLayer } from '../../sources/local/tarball.ts'
import { type WalkedEntry, walkEntries } from '../../scan/walk-entries.ts'
import { type TarName, type TreeWalk, readWalked } from '../../sources/local/walked-tar.ts'
import { OnefoldError } from '../../error.ts'
import type { Store } from '../../store/store.ts'
import { objectBytes } from '../send/tree-tar.ts'

/** Source of a new layer. */
export type LayerFrom =
  /** Upper directory of an overlay over the image; `userXattrs` when it was mounted with `userxattr`. */
  | { readonly kind: 'upper'; readonly path: string; readonly userXattrs?: boolean | undefined }
  /** Directory in which every name is data. */
  | { readonly kind: 'directory'; readonly path: string }
  /** Tar, compressed or not, as it is; the path `-` is standard input. */
  | { readonly kind: 'tar'; readonly path: string }

export interface CommitLayerOptions {
  /** Tree of the image below. */
  readonly lower: Directory | undefined
  readonly keepSelinux: boolean
  /** Directory for standard input while it is read; default $TMPDIR, else /var/tmp. */
  readonly temporary?: string | undefined
  readonly onWarning?: ((message: string) => void) | undefined
}

export interface OpenLayer extends AsyncDisposable {
  /** Reads all of the layer once, for its digests. */
  read(options: AbortOptions): Promise<PlainLayer>
}

export async function openLayer(store: Store, from: LayerFrom, options: CommitLayerOptions): Promise<OpenLayer> {
  if (from.kind === 'tar') {
    const { read, close } = await openTarLayer(from.path, { temporary: options.temporary })
    return { read, [Symbol.asyncDispose]: close }
  }
  const root = await directoryRoot(from.path)
  const walk: TreeWalk = function* (onWarning, seen): Generator<TarName> {
    const found = observed(walkEntries(root, { omit: inodesOf([store.root]), onWarning }), seen)
    for (const name of changesIn(found, from, { ...options, onWarning })) yield tarName(store, name)
  }
  const { onWarning } = options
  return { read: ({ signal }) => readWalked(root, walk, { signal, onWarning }), async [Symbol.asyncDispose]() {} }
}

/** Yields the names of the layer that a walk through a directory makes. */
export function changesIn(
  found: Iterable<WalkedEntry>,
  from: Exclude<LayerFrom, { kind: 'tar' }>,
  { lower, keepSelinux, onWarning }: CommitLayerOptions,
): Generator<LayerName<WalkedEntry>> {
  const prefix: OverlayPrefix | undefined =
    from.kind === 'directory' ? undefined : from.userXattrs === true ? 'user' : 'trusted'
  return layerOf(found, { prefix, lower, keepSelinux, onWarning })
}

function* observed(names: Iterable<WalkedEntry>, seen: (found: WalkedEntry) => void): Generator<WalkedEntry> {
  for (const found of names) {
    seen(found)
    yield found
  }
}

function tarName(store: Store, { entry, found }: LayerName<WalkedEntry>): TarName {
  return { entry, content: () => found?.content() ?? storedBytes(store, entry.path, entry.content) }
}

const bufferBytes = 1024 * 1024
let buffer: Buffer | undefined

/** Yields bytes of the image below that the layer has to repeat. */
function* storedBytes(store: Store, path: string, content: Content): Generator<Uint8Array> {
  if (content.kind === 'inline') yield content.bytes
  else if (content.kind === 'object')
    yield* objectBytes(store, content.digest, content.size, (buffer ??= Buffer.allocUnsafe(bufferBytes)))
  else if (sizeOf(content) > 0)
    throw new OnefoldError('UNSUPPORTED', `Cannot repeat ${quoteName(path)} in a layer: its bytes are not in the store`)
}
