/**
 * Computes the fs-verity digest of a file: sha256, 4 KiB blocks, no salt. It is what the kernel measures for a file
 * with fs-verity on, what an overlay mount with `verity=require` compares, and the name of every object and image. With
 * sha512 in place of sha256 it is what composefs-rs calls them.
 *
 *     data      │ 4096 │ 4096 │ … │ rest, padded with zeros │
 *                  ↓ sha256 of each block
 *     level 0   │ 128 hashes │ 128 hashes │ … zeros │           a level is cut into blocks and hashed again …
 *     level n   │ one block │  →  root hash                     … until one hash is left
 *     digest    = sha256 of the 256-byte descriptor: version, algorithm, block size, file size, root hash
 *
 * The root hash of an empty file is all zeros. Source: the kernel's Documentation/filesystems/fsverity.rst.
 */
import { hash } from 'node:crypto'
import type { Algorithm, Verity512Digest, VerityDigest } from '../../digest.ts'

const blockSize = 4096
/** Parameters by algorithm, with the kernel's number for it (include/uapi/linux/fsverity.h). */
const algorithms = { sha256: { number: 1, hashSize: 32 }, sha512: { number: 2, hashSize: 64 } } as const

/** One level of the tree: the block being filled and the number of hashes that the level has had in all. */
interface Level {
  readonly block: Buffer
  fill: number
  count: number
}

/** Returns views of the whole blocks of a buffer. */
export function blocksOf(bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.floor(bytes.length / blockSize) }, (_, i) =>
    bytes.subarray(i * blockSize, (i + 1) * blockSize),
  )
}

/** Number of bytes that one block of sha256 hashes covers. */
export const groupBytes = (blockSize / algorithms.sha256.hashSize) * blockSize

/** Hashes groups of blocks, to a hash of level 1 each, for a `VerityHasher` elsewhere that puts them together. */
export class GroupHasher {
  /** Memory for the bytes of the group. */
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(groupBytes)
  readonly #blocks = blocksOf(this.bytes)
  readonly #hashes = Buffer.allocUnsafeSlow(blockSize)

  hash(): Buffer {
    const { hashSize } = algorithms.sha256
    this.#blocks.forEach((block, i) => {
      this.#hashes.write(hash('sha256', block, 'latin1'), i * hashSize, hashSize, 'latin1')
    })
    return hash('sha256', this.#hashes, 'buffer')
  }
}

/** Hashes a stream of chunks of any size. After `digest()` it is empty again and ready for the next file. */
class MerkleHasher<D extends string> {
  readonly #algorithm: Algorithm
  readonly #hashSize: number
  readonly #descriptor: Buffer
  readonly #rest = Buffer.alloc(blockSize)
  readonly #levels: Level[] = []
  #fill = 0
  #size = 0

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm
    this.#hashSize = algorithms[algorithm].hashSize
    this.#descriptor = emptyDescriptor(algorithm)
  }

  /** Number of bytes seen so far. */
  get size(): number {
    return this.#size
  }

  /**
   * Takes the next bytes.
   * @param blocks what `blocksOf` made of the memory that `bytes` begin: a caller that uses it again and again spares a
   *   view per block
   */
  update(bytes: Uint8Array, blocks?: readonly Uint8Array[]): void {
    this.#size += bytes.length
    let at = this.#fill > 0 ? this.#fillRest(bytes) : 0
    const known = at === 0 ? blocks : undefined
    for (; at + blockSize <= bytes.length; at += blockSize)
      this.#push(0, this.#hash(known?.[at / blockSize] ?? bytes.subarray(at, at + blockSize)))
    if (at < bytes.length) {
      this.#rest.set(bytes.subarray(at), 0)
      this.#fill = bytes.length - at
    }
  }

  protected appendGroupHashes(hashes: Uint8Array): void {
    if (this.#size % groupBytes !== 0) throw new RangeError('groups of blocks go on where others ended')
    const bytes = Buffer.from(hashes.buffer, hashes.byteOffset, hashes.length)
    const lowest = this.#level(0)
    for (let at = 0; at < bytes.length; at += this.#hashSize) {
      lowest.count += groupBytes / blockSize
      this.#size += groupBytes
      this.#push(1, bytes.toString('latin1', at, at + this.#hashSize))
    }
  }

  /** Returns the digest of everything seen since the last `digest()`. */
  digest(): D {
    if (this.#fill > 0) this.#push(0, this.#hash(this.#rest.fill(0, this.#fill)))
    const root = this.#root()
    const descriptor = this.#descriptor
    writeSize(descriptor, this.#size)
    descriptor.fill(0, 16, 16 + this.#hashSize)
    descriptor.write(root, 16, this.#hashSize, 'latin1')
    this.#reset()
    return hash(this.#algorithm, descriptor, 'hex') as D
  }

  /** Takes the bytes that complete the block begun by an earlier chunk; returns their number. */
  #fillRest(bytes: Uint8Array): number {
    const take = Math.min(blockSize - this.#fill, bytes.length)
    this.#rest.set(bytes.subarray(0, take), this.#fill)
    this.#fill += take
    if (this.#fill === blockSize) {
      this.#push(0, this.#hash(this.#rest))
      this.#fill = 0
      return take
    }
    // Everything fitted: the loop of the caller must not store it a second time.
    return bytes.length
  }

  #level(depth: number): Level {
    return (this.#levels[depth] ??= { block: Buffer.alloc(blockSize), fill: 0, count: 0 })
  }

  #push(depth: number, blockHash: string): void {
    const level = this.#level(depth)
    level.block.write(blockHash, level.fill, this.#hashSize, 'latin1')
    level.fill += this.#hashSize
    level.count++
    if (level.fill === blockSize) {
      level.fill = 0
      this.#push(depth + 1, this.#hash(level.block))
    }
  }

  /** Closes the levels from the bottom up; the first that has had a single hash holds the root. */
  #root(): string {
    if (this.#size === 0) return ''
    for (let depth = 0; ; depth++) {
      const level = this.#levels[depth]
      if (level === undefined) throw new RangeError('a level without hashes below the root')
      if (level.count === 1) return level.block.toString('latin1', 0, this.#hashSize)
      if (level.fill > 0) this.#push(depth + 1, this.#hash(level.block.fill(0, level.fill)))
    }
  }

  /** Hashes a block to a string with one char per byte: the cheapest form Node's one-shot hash can return. */
  #hash(block: Uint8Array): string {
    return hash(this.#algorithm, block, 'latin1')
  }

  #reset(): void {
    for (const level of this.#levels) level.fill = level.count = 0
    this.#fill = this.#size = 0
  }
}

export class VerityHasher extends MerkleHasher<VerityDigest> {
  constructor() {
    super('sha256')
  }

  /** Goes on by whole groups that were hashed elsewhere (see `GroupHasher`), behind a whole number of groups. */
  appendGroups(hashes: Uint8Array): void {
    this.appendGroupHashes(hashes)
  }
}

export class Verity512Hasher extends MerkleHasher<Verity512Digest> {
  constructor() {
    super('sha512')
  }
}

const shared = new VerityHasher()

/** Returns the fs-verity digest of bytes that are all there. */
export function verityDigest(bytes: Uint8Array): VerityDigest {
  shared.update(bytes)
  return shared.digest()
}

function emptyDescriptor(algorithm: Algorithm): Buffer {
  const descriptor = Buffer.alloc(256)
  descriptor[0] = 1 // version
  descriptor[1] = algorithms[algorithm].number
  descriptor[2] = 12 // log2 of the block size
  return descriptor
}

function writeSize(descriptor: Buffer, size: number): void {
  descriptor.writeUInt32LE(size % 2 ** 32, 8)
  descriptor.writeUInt32LE(Math.floor(size / 2 ** 32), 12)
}
