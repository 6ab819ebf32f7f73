import { closeSync, readSync } from 'node:fs'
import { pieceMax } from '../../../content/arena.ts'
import type { Digest, VerityDigest } from '../../../digest.ts'
import { OnefoldError } from '../../../error.ts'
import type { ChunkPlace } from '../../../store/index/held-contents.ts'
import type { AssemblyWork, OpenOrigin, Origin, PieceSink } from './origin.ts'

/**
 * Returns the origin of chunks of objects that the store has, such as those of the last version of a file, by their
 * sha256.
 */
export function objectChunks(chunks: ReadonlyMap<Digest, ChunkPlace>): Origin<ChunkPlace> {
  return {
    counts: 'chunkBytes',
    isShared: true,
    find({ digests, length }) {
      const place = digests.sha256 === undefined ? undefined : chunks.get(digests.sha256)
      return place?.length === length ? place : undefined
    },
    objects: ({ object }) => [object],
    open: (work) => new OpenObjects(work),
  }
}

class OpenObjects implements OpenOrigin<ChunkPlace> {
  readonly #work: AssemblyWork
  /** Objects that parts of the current file come from, with their descriptors. */
  readonly #open = new Map<VerityDigest, number>()

  constructor(work: AssemblyWork) {
    this.#work = work
  }

  deliver(_: unknown, { object, offset, length }: ChunkPlace, sink: PieceSink): void {
    const fd = this.#descriptorOf(object)
    for (let done = 0; done < length;) {
      const room = this.#work.arena.claim(Math.min(pieceMax, length - done))
      readInto(room, fd, offset + done, object)
      sink.share(room, fd, offset + done)
      done += room.length
    }
  }

  endFile(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
  }

  [Symbol.dispose](): void {
    this.endFile()
  }

  #descriptorOf(object: VerityDigest): number {
    const known = this.#open.get(object)
    if (known !== undefined) return known
    const { fd } = this.#work.store.openObject(object)
    this.#open.set(object, fd)
    return fd
  }
}

function readInto(room: Uint8Array, fd: number, offset: number, object: VerityDigest): void {
  for (let filled = 0; filled < room.length;) {
    const read = readSync(fd, room, filled, room.length - filled, offset + filled)
    if (read === 0) throw new OnefoldError('CORRUPT', `Cannot read object ${object}: it ends too early`)
    filled += read
  }
}
