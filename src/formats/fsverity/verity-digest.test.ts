import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { GroupHasher, VerityHasher, blocksOf, groupBytes, verityDigest } from './verity-digest.ts'

/** The definition, level by level, with nothing clever about it. */
function plainDigest(bytes: Uint8Array): string {
  const hashBlocks = (level: Uint8Array): Buffer => {
    const hashes: Buffer[] = []
    for (let at = 0; at < level.length; at += 4096) {
      const block = Buffer.alloc(4096)
      block.set(level.subarray(at, at + 4096))
      hashes.push(createHash('sha256').update(block).digest())
    }
    return Buffer.concat(hashes)
  }
  let root = bytes.length === 0 ? Buffer.alloc(32) : hashBlocks(bytes)
  while (root.length > 32) root = hashBlocks(root)
  const descriptor = Buffer.alloc(256)
  descriptor.set([1, 1, 12])
  descriptor.writeBigUInt64LE(BigInt(bytes.length), 8)
  descriptor.set(root, 16)
  return createHash('sha256').update(descriptor).digest('hex')
}

function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8) * 7) & 0xff
  return bytes
}

describe('verityDigest', () => {
  test('gives what `fsverity digest` and the kernel give', () => {
    assert.equal(verityDigest(Buffer.alloc(0)), '3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95')
    assert.equal(
      verityDigest(Buffer.from('hello world')),
      '1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64',
    )
  })

  test('gives the digest by which mkcomposefs names its images', { skip: withoutVectors('one-tree/composefs') }, () => {
    for (const version of ['v0', 'v1']) {
      const image = readFileSync(vectors(`one-tree/composefs/${version}.cfs`) ?? '')
      const digest = readFileSync(vectors(`one-tree/composefs/${version}.digest`) ?? '', 'latin1').trim()
      assert.equal(verityDigest(image), digest)
    }
  })

  const edges = [0, 1, 4095, 4096, 4097, 8192, 128 * 4096 - 1, 128 * 4096, 128 * 4096 + 1, 129 * 4096, 16385 * 4096]
  for (const size of edges)
    test(`agrees with the definition for ${size} bytes, whole and in pieces`, () => {
      const bytes = pattern(size)
      const want = plainDigest(bytes)
      assert.equal(verityDigest(bytes), want)
      const hasher = new VerityHasher()
      for (let at = 0; at < size; at += 65_521) hasher.update(bytes.subarray(at, at + 65_521))
      assert.equal(hasher.size, size)
      assert.equal(hasher.digest(), want)
    })
})

describe('VerityHasher', () => {
  test('agrees with the definition whatever the chunk sizes, file after file', () => {
    const hasher = new VerityHasher()
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 9000 }), { maxLength: 12 }), (sizes) => {
        const chunks = sizes.map((size, i) => pattern(size + i).subarray(i))
        for (const chunk of chunks) hasher.update(chunk)
        assert.equal(hasher.digest(), plainDigest(Buffer.concat(chunks)))
      }),
      { numRuns: 200 },
    )
  })

  test('is the same with views that were made beforehand', () => {
    const memory = pattern(10 * 4096 + 17)
    const blocks = blocksOf(memory)
    assert.equal(blocks.length, 10)
    for (const lengths of [[memory.length], [4096, 8192], [100, 8192, 5000], [0, 4095, 4097]]) {
      const [plain, spared] = [new VerityHasher(), new VerityHasher()]
      for (const length of lengths) {
        plain.update(memory.subarray(0, length))
        spared.update(memory.subarray(0, length), blocks)
      }
      assert.equal(spared.digest(), plain.digest())
    }
  })

  test('can be put together from groups of blocks that were hashed elsewhere', () => {
    const bytes = pattern(3 * groupBytes + 5000)
    const group = new GroupHasher()
    const hashes = [0, 1, 2].map((i) => {
      bytes.copy(group.bytes, 0, i * groupBytes)
      return group.hash()
    })
    for (const groups of [1, 2, 3])
      for (const rest of [0, 1, 4096, 5000]) {
        const end = groups * groupBytes + rest
        const hasher = new VerityHasher()
        hasher.appendGroups(Buffer.concat(hashes.slice(0, groups)))
        hasher.update(bytes.subarray(groups * groupBytes, end))
        assert.equal(hasher.digest(), plainDigest(bytes.subarray(0, end)), `${end} bytes`)
      }
    const hasher = new VerityHasher()
    hasher.update(bytes.subarray(0, groupBytes))
    hasher.appendGroups(Buffer.concat(hashes.slice(1)))
    assert.equal(hasher.digest(), plainDigest(bytes.subarray(0, 3 * groupBytes)))
    hasher.update(bytes.subarray(0, 1))
    assert.throws(() => hasher.appendGroups(Buffer.alloc(32)), RangeError)
  })
})
