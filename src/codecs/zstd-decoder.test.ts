import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { constants, zstdCompressSync } from 'node:zlib'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import { zstdCopies } from '../../test/fixtures/native-copies.ts'
import { ZstdDecoder } from './zstd-decoder.ts'

const body = Buffer.concat([randomBytes(100_000), Buffer.alloc(1_000_000, 'onefold')])
const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex')
const frames = [skippable, zstdCompressSync(body), zstdCompressSync(''), skippable, zstdCompressSync('x'), skippable]

const blobs: readonly [name: string, encoded: Uint8Array, decoded: Uint8Array, frames: number][] = [
  ['one frame', zstdCompressSync(body), body, 1],
  [
    'many frames, empty and skippable ones',
    Buffer.concat(frames),
    Buffer.concat([body, Buffer.from('x')]),
    frames.length,
  ],
]

for (const [copy, functions] of zstdCopies)
  describe(`zstd with ${copy} zstd`, () => {
    for (const [name, encoded, decoded, count] of blobs)
      for (const [input, output] of [
        [1 << 20, 1 << 20],
        [997, 1009],
        [1 << 20, 64],
      ] as const)
        test(`${name}, ${input} bytes in, ${output} out`, () => {
          let ended = 0
          const decoder = new ZstdDecoder(27, { functions, onFrame: () => ended++ })
          assert.ok(decodeAll(decoder, encoded, { input, output }).equals(decoded))
          assert.equal(ended, count)
        })

    test('cut short anywhere but behind a frame is refused', () => {
      const [first, second] = [zstdCompressSync(randomBytes(80)), zstdCompressSync('second')]
      const encoded = Buffer.concat([first, second])
      const whole = new Set([first.length, encoded.length])
      for (let length = 0; length <= encoded.length; length++) {
        const decoder = new ZstdDecoder(27, { functions })
        const decode = () => decodeAll(decoder, encoded.subarray(0, length), { input: 16, output: 64 })
        if (whole.has(length)) decode()
        else assert.throws(decode, { code: 'BAD_FORMAT' }, `${length} bytes`)
      }
    })

    test('windows above the limit are refused', () => {
      const long = zstdCompressSync(body, {
        params: { [constants.ZSTD_c_windowLog]: 28, [constants.ZSTD_c_contentSizeFlag]: 0 },
      })
      assert.throws(() => decodeAll(new ZstdDecoder(10, { functions }), long), { code: 'BAD_FORMAT' })
    })

    test('may be disposed of twice', () => {
      const decoder = new ZstdDecoder(27, { functions })
      decoder[Symbol.dispose]()
      decoder[Symbol.dispose]()
    })
  })
