import type { AbortOptions } from '../../abort.ts'
import { type Entry, sizeOf } from '../../formats/entry.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../../formats/tar/tar-writer.ts'
import type { PlainLayer } from './plain-source.ts'
import type { BlobOptions } from '../source.ts'
import { changedWhileRead } from '../../scan/scan-error.ts'
import type { WalkedEntry } from '../../scan/walk-entries.ts'
import { pathInTree } from '../../scan/walk-tree.ts'
import { madeLayer } from './made-layer.ts'
import { TarBatch } from './tar-batch.ts'

/** Name of a tar that is being made; its bytes are read before the next name is asked for. */
export interface TarName {
  readonly entry: Entry
  /** Yields exactly as many bytes as `entry.content` says; a chunk is good until the next one. */
  content(): Iterable<Uint8Array>
}

/**
 * Walks a directory from its beginning. Everything that is found goes through `seen` before its bytes are read, also
 * files that get no name in the tar.
 */
export type TreeWalk = (onWarning: (message: string) => void, seen: (found: WalkedEntry) => void) => Iterable<TarName>

/**
 * Reads a directory as one uncompressed tar, made while it is read and kept nowhere. It is made twice, once for its
 * digest and once to be served; a tree that changes in between is noticed by the change times of its inodes.
 * @param root path for errors, one char per byte
 */
export async function readWalked(
  root: string,
  walk: TreeWalk,
  options: AbortOptions & { readonly onWarning?: ((message: string) => void) | undefined },
): Promise<PlainLayer> {
  const tar = new WalkedTar(root, walk)
  const first = tar.first(options.onWarning ?? (() => {}), { signal: options.signal, lent: true })
  return await madeLayer(first, (blobOptions) => tar.again(blobOptions))
}

/** The tar of one directory, the same bytes each time as long as nobody writes to it. */
class WalkedTar {
  readonly #root: string
  readonly #walk: TreeWalk
  /** Change times of the first pass, in order: eight bytes a name are all that is kept of a tree. */
  #changed: bigint[] = []

  constructor(root: string, walk: TreeWalk) {
    this.#root = root
    this.#walk = walk
  }

  /** Makes the tar and remembers the change times. */
  first(onWarning: (message: string) => void, options: BlobOptions): AsyncGenerator<Uint8Array> {
    const changed: bigint[] = []
    this.#changed = changed
    return batches(
      this.#pieces(onWarning, (found) => void changed.push(found.changed)),
      options,
    )
  }

  /** Makes the tar again, and stops at the first name that is not as it was. */
  async *again(options: BlobOptions): AsyncGenerator<Uint8Array> {
    let at = 0
    const pieces = this.#pieces(
      () => {},
      (found) => {
        if (found.changed !== this.#changed[at++])
          throw changedWhileRead('read', pathInTree(this.#root, found.entry.path))
      },
    )
    yield* skipping(batches(pieces, options), options.offset ?? 0)
  }

  *#pieces(onWarning: (message: string) => void, seen: (found: WalkedEntry) => void): Generator<Uint8Array> {
    for (const name of this.#walk(onWarning, seen)) {
      const size = sizeOf(name.entry.content)
      yield writeTarHeader(name.entry, size, { sockets: 'fileType' })
      yield* name.content()
      yield tarPadding(size)
    }
    yield tarTrailer()
  }
}

async function* batches(
  pieces: Iterable<Uint8Array>,
  { signal, lent = false }: BlobOptions,
): AsyncGenerator<Uint8Array> {
  const batch = new TarBatch(lent)
  for (const piece of pieces) {
    signal?.throwIfAborted()
    yield* batch.add(piece)
  }
  yield* batch.rest()
}

async function* skipping(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let left = offset
  for await (const chunk of chunks) {
    if (chunk.length > left) yield left === 0 ? chunk : chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
  }
}
