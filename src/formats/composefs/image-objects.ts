/** Finds the objects that an image names, without making a tree of it: linear in the image, in memory of a 256th of it. */
import type { VerityDigest } from '../../digest.ts'
import { S_IFDIR, S_IFMT, S_IFREG } from '../tree.ts'
import { bad } from '../erofs/erofs-error.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { chunkBased, slotSize } from '../erofs/erofs-records.ts'
import { InodeDecoder } from './inode-decoder.ts'

/**
 * Calls `visit` for every inode with an object, once. Throws as readErofs does, though not for everything that it
 * would: a damaged image may pass, and gives what can be found in it.
 */
export function visitImageObjects(bytes: Uint8Array, visit: (digest: VerityDigest) => void): void {
  const image = new ErofsReader(bytes)
  const decoder = new InodeDecoder(image, {})
  const seen = new Seen(bytes.length)
  // Directories that overlap would make more entries than the image has bytes.
  let budget = bytes.length
  const directories = [image.rootNid]
  seen.add(image.rootNid)
  for (let nid = directories.pop(); nid !== undefined; nid = directories.pop()) {
    const directory = image.inode(nid)
    budget -= directory.size
    if (budget < 0) throw bad(`its directories claim more than its ${bytes.length} bytes`)
    image.entries(directory, (_name, child) => {
      const raw = image.inode(child)
      if (!seen.add(child)) return
      const type = raw.mode & S_IFMT
      if (type === S_IFDIR) directories.push(child)
      else if (type === S_IFREG && raw.layout === chunkBased) {
        const { content } = decoder.decode(raw)
        if (content.kind === 'object') visit(content.digest)
      }
    })
  }
}

/** A bit for each place where an inode can begin. */
class Seen {
  readonly #bits: Uint8Array

  constructor(bytes: number) {
    this.#bits = new Uint8Array(Math.ceil(bytes / slotSize / 8))
  }

  /** Adds the nid of an inode in the image; false when it was there. */
  add(nid: number): boolean {
    const [index, bit] = [Math.floor(nid / 8), 1 << (nid % 8)]
    const byte = this.#bits[index] ?? 0
    this.#bits[index] = byte | bit
    return (byte & bit) === 0
  }
}
