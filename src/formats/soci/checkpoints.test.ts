import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  readCheckpoints,
  writeGzipCheckpoints,
  writeUncompressedCheckpoints,
  writeZstdCheckpoints,
} from './checkpoints.ts'

describe('checkpoints', () => {
  const point = { in: 10, out: 0, bits: 0, window: Buffer.alloc(32_768) }
  const second = { in: 400, out: 5000, bits: 3, window: Buffer.alloc(32_768, 7) }

  test('of a gzip layer come back', () => {
    const list = [point, second]
    assert.deepEqual(readCheckpoints(writeGzipCheckpoints({ spanSize: 4096, list }), 'gzip', 2), {
      spanSize: 4096,
      list,
    })
  })

  test('of version 1 have a first one that is implied', () => {
    const bytes = Buffer.from(writeGzipCheckpoints({ spanSize: 4096, list: [second] }))
    bytes.writeInt32LE(2, 0)
    assert.deepEqual(readCheckpoints(bytes, 'gzip', 2).list, [point, second])
  })

  test('of a zstd layer come back', () => {
    const list = [point, second].map((each) => ({ ...each, bits: 0, window: Buffer.alloc(0) }))
    const read = readCheckpoints(writeZstdCheckpoints({ spanSize: 4096, list }), 'zstd', 2)
    assert.deepEqual(
      read.list.map(({ in: input, out }) => [input, out]),
      [
        [10, 0],
        [400, 5000],
      ],
    )
  })

  test('of a layer that is not compressed are its spans', () => {
    const { list } = readCheckpoints(writeUncompressedCheckpoints(1000, 2500), 'uncompressed', 3)
    assert.deepEqual(
      list.map(({ in: input, out }) => [input, out]),
      [
        [0, 0],
        [1000, 1000],
        [2000, 2000],
      ],
    )
  })

  test('that do not ascend are refused', () => {
    const bytes = writeGzipCheckpoints({ spanSize: 4096, list: [point, { ...second, in: 10 }] })
    assert.throws(() => readCheckpoints(bytes, 'gzip', 2), { code: 'BAD_FORMAT' })
  })

  test('that are more than there are digests are refused before they are made', () => {
    const bytes = writeUncompressedCheckpoints(1, 2 ** 40)
    assert.throws(() => readCheckpoints(bytes, 'uncompressed', 2), { code: 'BAD_FORMAT' })
  })

  test('that are not as many as they say are refused', () => {
    const bytes = writeGzipCheckpoints({ spanSize: 4096, list: [point, second] })
    assert.throws(() => readCheckpoints(bytes.subarray(0, -1), 'gzip', 2), { code: 'BAD_FORMAT' })
  })
})
