import { readSync } from 'node:fs'
import type { VerityDigest } from '../../digest.ts'
import { OnefoldError } from '../../error.ts'
import { sizeOf } from '../../formats/entry.ts'
import { nodeTypeOf } from '../../formats/node-type.ts'
import { VerityHasher } from '../../formats/fsverity/verity-digest.ts'
import { tarPadding, tarTrailer, writeTarHeader } from '../../formats/tar/tar-writer.ts'
import { entryOf } from '../../image/tree-entries.ts'
import { walk } from '../../image/tree-json.ts'
import type { Directory } from '../../formats/tree.ts'
import type { Store } from '../../store/store.ts'

export interface TreeTarOptions {
  /** Told of what a tar cannot hold. */
  readonly onSkip?: (path: string, why: string) => void
}

/**
 * A tree as one tar: every name in depth-first byte order, the root first, the same bytes for the same tree. Contents
 * are checked against their digests on the way: CORRUPT. Chunks are valid until the next is asked for.
 */
export function* treeTar(store: Store, root: Directory, options: TreeTarOptions = {}): Generator<Uint8Array> {
  const buffer = Buffer.allocUnsafe(bufferBytes)
  for (const walked of walk(root)) {
    // There is no type for them, and whoever serves one makes it anew.
    if (nodeTypeOf(walked.inode) === 'socket') {
      options.onSkip?.(walked.path, 'a tar cannot hold sockets')
      continue
    }
    const { content } = walked.inode
    const size = walked.link === undefined ? sizeOf(content) : 0
    yield writeTarHeader(entryOf(walked.path, walked.inode, walked.link), size)
    if (size === 0) continue
    if (content.kind === 'inline') yield content.bytes
    else if (content.kind === 'object') yield* objectBytes(store, content.digest, size, buffer)
    else throw new OnefoldError('CORRUPT', `Cannot write ${JSON.stringify(walked.path)}: its content is not known`)
    yield tarPadding(size)
  }
  yield tarTrailer()
}

const bufferBytes = 1024 * 1024

/** The bytes of an object, checked against its digest by the end: CORRUPT. Chunks are valid until the next is asked for. */
export function* objectBytes(store: Store, digest: VerityDigest, size: number, buffer: Buffer): Generator<Uint8Array> {
  const hasher = new VerityHasher()
  using file = store.openObject(digest)
  for (let done = 0; done < size;) {
    const length = readSync(file.fd, buffer, 0, Math.min(buffer.length, size - done), done)
    if (length === 0) throw damaged(digest, `it ends after ${done} bytes, expected ${size}`)
    const bytes = buffer.subarray(0, length)
    hasher.update(bytes)
    yield bytes
    done += length
  }
  const found = hasher.digest()
  if (found !== digest) throw damaged(digest, `its bytes hash to ${found}`)
}

function damaged(digest: VerityDigest, found: string): OnefoldError {
  return new OnefoldError('CORRUPT', `Cannot read object ${digest}: ${found}`, {
    hint: 'See what is damaged: onefold fsck',
  })
}
