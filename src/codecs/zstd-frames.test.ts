import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { fuzzZstd } from '../../test/fuzz/zstd.ts'
import { type Code, hasCode } from '../error.ts'
import { type ZstdFrame, ZstdWalk, decodeZstdFrames, readZstdFrames } from './zstd-frames.ts'

const magic = '28b52ffd'
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
/** Single segment, content size in one byte, one raw block. */
const tiny = hex(`${magic} 20 02 110000 6869`)
const skippable = hex('532a4d18 03000000 616263')

function walk(bytes: Uint8Array, step: number, maxWindow?: number): ZstdFrame[] {
  const frames: ZstdFrame[] = []
  const walker = new ZstdWalk((frame) => frames.push(frame), maxWindow === undefined ? {} : { maxWindow })
  for (let at = 0; at < bytes.length; at += step) walker.write(bytes.subarray(at, at + step))
  walker.end()
  return frames
}

function refuses(bytes: Uint8Array, code: Code, found: RegExp): void {
  for (const step of [bytes.length + 1, 1])
    assert.throws(
      () => walk(bytes, step),
      (error) => hasCode(error, code) && found.test(error.message),
    )
}

test('frames of every kind, in pieces of any size', () => {
  const parts = [
    tiny,
    skippable,
    hex('502a4d18 00000000'), // skippable and empty
    hex(`${magic} 20 00 010000`), // empty
    hex(`${magic} 00 08 020000 78 010000`), // window of 2 KiB, an RLE block of 0 bytes, an empty last block
    hex(`${magic} 64 0001 010000 01020304`), // size in two bytes counts from 256, checksum
    hex(`${magic} e4 0000010000000000 fa0000 00 030000 00 01020304`), // size in eight bytes
    hex(`${magic} 03 00 00000000 010000`), // dictionary 0 is none
  ]
  const bytes = Buffer.concat(parts)
  const none = { kind: 'data', checksum: false, contentSize: undefined } as const
  const skip = { kind: 'skippable', windowSize: 0, contentSize: undefined, checksum: false, blocks: 0 } as const
  const expected = [
    { ...none, windowSize: 2, contentSize: 2, blocks: 1 },
    skip,
    skip,
    { ...none, windowSize: 0, contentSize: 0, blocks: 1 },
    { ...none, windowSize: 2048, blocks: 2 },
    { ...none, windowSize: 512, contentSize: 512, checksum: true, blocks: 1 },
    { ...none, windowSize: 65_536, contentSize: 65_536, checksum: true, blocks: 2 },
    { ...none, windowSize: 1024, blocks: 1 },
  ]
  let offset = 0
  const placed = expected.map((frame, i) => {
    const length = parts[i]!.length
    offset += length
    return { ...frame, offset: offset - length, length }
  })
  assert.deepEqual(readZstdFrames(bytes), placed)
  for (const step of [1, 2, 3, 7, 100]) assert.deepEqual(walk(bytes, step), placed)
})

describe('refused', () => {
  for (const [what, bytes, code, found] of [
    ['nothing', Buffer.alloc(0), 'BAD_FORMAT', /empty/],
    ['no frame', Buffer.from('hello world'), 'BAD_FORMAT', /no frame begins at byte 0/],
    [
      'garbage after a frame',
      Buffer.concat([tiny, Buffer.from('garbage')]),
      'BAD_FORMAT',
      /no frame begins at byte 11/,
    ],
    ['zeros after a frame', Buffer.concat([tiny, Buffer.alloc(4)]), 'BAD_FORMAT', /no frame begins at byte 11/],
    ['a zero after a frame', Buffer.concat([tiny, Buffer.alloc(1)]), 'BAD_FORMAT', /cut short/],
    ['the reserved bit', hex(`${magic} 28 00 010000`), 'BAD_FORMAT', /reserved bit/],
    ['the reserved block', hex(`${magic} 20 00 070000`), 'BAD_FORMAT', /reserved type/],
    ['a block larger than the window', hex(`${magic} 20 02 190000 686969`), 'BAD_FORMAT', /3 bytes is too large/],
    ['an RLE block larger than any', hex(`${magic} 00 88 0b0010 00`), 'BAD_FORMAT', /131073 bytes is too large/],
    ['an empty compressed block', hex(`${magic} 20 02 050000`), 'BAD_FORMAT', /compressed block is empty/],
    ['a dictionary', hex(`${magic} 01 00 07 010000`), 'UNSUPPORTED', /dictionary/],
    ['a window of 144 MiB', hex(`${magic} 00 89 010000`), 'LIMIT', /window of 150994944 bytes, the limit is 134217728/],
    ['a window of 3.75 TiB', hex(`${magic} 00 ff 010000`), 'LIMIT', /window/],
    ['a single segment of 2^64 bytes', hex(`${magic} e0 ffffffffffffffff 010000`), 'LIMIT', /window/],
  ] as const)
    test(what, () => refuses(bytes, code, found))

  test('cut at every byte but between frames', () => {
    const whole = Buffer.concat([tiny, skippable, tiny])
    const accepted: number[] = []
    for (let length = 0; length < whole.length; length++) {
      for (const step of [1, 1000]) {
        try {
          walk(whole.subarray(0, length), step)
          accepted.push(length)
        } catch (error) {
          assert.ok(hasCode(error, 'BAD_FORMAT'), String(error))
        }
      }
    }
    assert.deepEqual(accepted, [
      tiny.length,
      tiny.length,
      tiny.length + skippable.length,
      tiny.length + skippable.length,
    ])
  })
})

test('a window that is allowed', () => {
  const bytes = hex(`${magic} 00 90 010000`)
  refuses(bytes, 'LIMIT', /window/)
  assert.equal(walk(bytes, 100, 2 ** 28)[0]!.windowSize, 2 ** 28)
})

test('what zstd writes is walked', () => {
  const frame = fc.record({
    data: fc
      .tuple(fc.uint8Array({ maxLength: 500 }), fc.nat(300))
      .map(([bytes, times]) => Buffer.concat(Array<Uint8Array>(times).fill(bytes))),
    level: fc.integer({ min: 1, max: 19 }),
    checksum: fc.nat(1),
  })
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 5000 }), (frames, step) => {
      const parts = frames.map(({ data, level, checksum }) =>
        zstdCompressSync(data, {
          params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: checksum },
        }),
      )
      const found = walk(Buffer.concat(parts), step)
      assert.deepEqual(
        found.map(({ length }) => length),
        parts.map(({ length }) => length),
      )
      assert.deepEqual(
        found.map(({ contentSize }) => contentSize),
        frames.map(({ data }) => data.length),
      )
      assert.deepEqual(
        found.map(({ checksum }) => checksum),
        frames.map(({ checksum }) => checksum === 1),
      )
    }),
    { numRuns: 50 },
  )
})

describe('decodeZstdFrames()', () => {
  const file = Buffer.concat([zstdCompressSync('one '), skippable, zstdCompressSync('two')])

  test('gives the bytes of all frames, as many as are allowed', () => {
    assert.equal(Buffer.from(decodeZstdFrames(file, 7)).toString(), 'one two')
    assert.equal(decodeZstdFrames(zstdCompressSync(''), 0).length, 0)
  })

  test('refuses more, and damage', () => {
    for (const max of [0, 1, 6])
      assert.throws(
        () => decodeZstdFrames(file, max),
        (error) => hasCode(error, 'LIMIT'),
      )
    const damaged = Buffer.from(zstdCompressSync(Buffer.alloc(1000, 'text')))
    damaged[damaged.length - 6]! ^= 0xff
    assert.throws(
      () => decodeZstdFrames(damaged, 1000),
      (error) => hasCode(error, 'BAD_FORMAT'),
    )
  })
})

test('random damage', () => fuzzZstd(1, 3000))
