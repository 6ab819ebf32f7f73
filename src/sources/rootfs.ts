import { createHash } from 'node:crypto'
import { statSync } from 'node:fs'
import { parseDiffId, parseDigest } from '../digest.ts'
import { OnefoldError } from '../error.ts'
import { sizeOf } from '../formats/entry.ts'
import { mediaTypes } from '../formats/oci/media-types.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../formats/tar/write.ts'
import { attempt } from './files.ts'
import type { SourceOptions } from './options.ts'
import { type PlainLayer, plainSource } from './plain.ts'
import type { AbortOptions, BlobOptions, Source } from './source.ts'
import { type Found, type WalkOptions, changedWhileRead, inodeKey, walkTree } from './walk.ts'

/**
 * A directory as a plain tree: one uncompressed tar, made while it is read and kept nowhere. It is made twice, once for
 * its digest and once to be served; a tree that changes in between is noticed by the change times of its inodes.
 */
export async function openRootfs(name: string, path: string, options: SourceOptions): Promise<Source> {
  const stats = await attempt(path, async () => statSync(path))
  if (!stats.isDirectory()) throw new OnefoldError('BAD_FORMAT', `Cannot read "${path}" as a tree: it is no directory`)
  const tree = new TreeTar(Buffer.from(path.replace(/\/+$/, '')).toString('latin1'), options)
  return plainSource({ name, platform: options.platform, read: (abort) => readLayer(tree, abort), async close() {} })
}

async function readLayer(tree: TreeTar, options: AbortOptions): Promise<PlainLayer> {
  const hash = createHash('sha256')
  let length = 0
  for await (const chunk of tree.first({ ...options, lent: true })) {
    hash.update(chunk)
    length += chunk.length
  }
  const hex = hash.digest('hex')
  return {
    mediaType: mediaTypes.layer,
    digest: parseDigest(`sha256:${hex}`),
    diffId: parseDiffId(`sha256:${hex}`),
    blob: { length, read: (blobOptions) => tree.again(blobOptions) },
  }
}

const batchSize = 1024 * 1024

/** The tar of one directory, the same bytes each time as long as nobody writes to it. */
class TreeTar {
  readonly #root: string
  readonly #options: SourceOptions
  /** Change times of the first pass, in order: eight bytes a name are all that is kept of a tree. */
  #changed: bigint[] = []

  constructor(root: string, options: SourceOptions) {
    this.#root = root
    this.#options = options
  }

  /** Makes the tar and remembers the change times. */
  first(options: BlobOptions): AsyncGenerator<Uint8Array> {
    const changed: bigint[] = []
    this.#changed = changed
    const onWarning = this.#options.onWarning ?? (() => {})
    return batches(
      this.#pieces(onWarning, (found) => void changed.push(found.changed)),
      options,
    )
  }

  /** Makes it again, and stops at the first name that is not as it was. */
  async *again(options: BlobOptions): AsyncGenerator<Uint8Array> {
    let at = 0
    const pieces = this.#pieces(
      () => {},
      (found) => {
        if (found.changed !== this.#changed[at++]) throw changedWhileRead(this.#show(found.entry.path))
      },
    )
    yield* skipping(batches(pieces, options), options.offset ?? 0)
  }

  *#pieces(onWarning: (message: string) => void, check: (found: Found) => void): Generator<Uint8Array> {
    const options: WalkOptions = { omit: this.#omitted(), onWarning }
    for (const found of walkTree(this.#root, options)) {
      check(found)
      const size = sizeOf(found.entry.content)
      yield writeTarHeader(found.entry, size)
      yield* found.content()
      yield tarPadding(size)
    }
    yield tarTrailer()
  }

  #omitted(): Set<string> {
    const keys = (this.#options.omit ?? []).map((path) => statSync(path, { bigint: true, throwIfNoEntry: false }))
    return new Set(keys.flatMap((stats) => (stats === undefined ? [] : [inodeKey(stats)])))
  }

  #show(path: string): string {
    return Buffer.from(path === '' ? this.#root : `${this.#root}/${path}`, 'latin1').toString()
  }
}

/** Joins small pieces: what takes them pays per chunk. */
async function* batches(pieces: Iterable<Uint8Array>, { signal, lent }: BlobOptions): AsyncGenerator<Uint8Array> {
  let batch = new Uint8Array(batchSize)
  let used = 0
  for (const piece of pieces) {
    if (used + piece.length > batchSize) {
      signal?.throwIfAborted()
      if (used > 0) yield batch.subarray(0, used)
      if (lent !== true) batch = new Uint8Array(batchSize)
      used = 0
    }
    if (piece.length > batchSize) {
      yield piece
      continue
    }
    batch.set(piece, used)
    used += piece.length
  }
  if (used > 0) yield batch.subarray(0, used)
}

async function* skipping(chunks: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let left = offset
  for await (const chunk of chunks) {
    if (chunk.length > left) yield left === 0 ? chunk : chunk.subarray(left)
    left = Math.max(0, left - chunk.length)
  }
}
