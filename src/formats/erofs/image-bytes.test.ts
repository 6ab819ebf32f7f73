import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ImageBytes } from './image-bytes.ts'

test('reads integers, least byte first, also from the middle of a buffer', () => {
  const buffer = Buffer.from('ff0102030405060708', 'hex')
  const bytes = new ImageBytes(buffer.subarray(1))
  assert.deepEqual([bytes.length, bytes.u8(0), bytes.u16(0), bytes.u32(0)], [8, 1, 0x0201, 0x04030201])
})

test('reads numbers of 64 bits as far as one can count with them', () => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(2n ** 53n)
  assert.equal(new ImageBytes(buffer).u64(0, 'the size of inode', 3), 2 ** 53)
  buffer.writeBigUInt64LE(2n ** 53n + 2n)
  assert.throws(() => new ImageBytes(buffer).u64(0, 'the size of inode', 3), {
    code: 'BAD_FORMAT',
    message: 'Cannot read EROFS image: the size of inode 3 is beyond 2^53',
  })
})

test('reads times before 1970, and refuses absurd ones', () => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64LE(-5n)
  assert.equal(new ImageBytes(buffer).seconds(0), -5)
  buffer.writeBigInt64LE(-(2n ** 60n))
  assert.throws(() => new ImageBytes(buffer).seconds(0), { code: 'BAD_FORMAT' })
})

test('bytes that are needed lie in the image', () => {
  const bytes = new ImageBytes(Buffer.alloc(8))
  bytes.need(0, 8, 'inode', 1)
  bytes.need(8, 0, 'inode', 1)
  for (const [at, length] of [
    [0, 9],
    [8, 1],
    [-1, 1],
  ] as const)
    assert.throws(() => bytes.need(at, length, 'inode', 1), {
      code: 'BAD_FORMAT',
      message: /inode 1 ends at byte \d+ of 8/,
    })
})
