import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import { zlibCopies } from '../../test/fixtures/native-copies.ts'
import { GzipDecoder } from './gzip-decoder.ts'

const body = Buffer.concat([randomBytes(100_000), Buffer.alloc(1_000_000, 'onefold')])

const blobs: readonly [name: string, encoded: Uint8Array, decoded: Uint8Array][] = [
  ['one member', gzipSync(body), body],
  [
    'many members',
    Buffer.concat([gzipSync(body), gzipSync(''), gzipSync('x')]),
    Buffer.concat([body, Buffer.from('x')]),
  ],
  ['zero padding', Buffer.concat([gzipSync('x'), Buffer.alloc(1000)]), Buffer.from('x')],
]

for (const [copy, zlib] of zlibCopies)
  describe(`gzip with ${copy} zlib`, () => {
    for (const [name, encoded, decoded] of blobs)
      for (const [input, output] of [
        [1 << 20, 1 << 20],
        [997, 1009],
        [1 << 20, 64],
      ] as const)
        test(`${name}, ${input} bytes in, ${output} out`, () => {
          assert.ok(decodeAll(new GzipDecoder(zlib), encoded, { input, output }).equals(decoded))
        })

    test('cut short anywhere but behind a member is refused', () => {
      const [first, second] = [gzipSync(randomBytes(80)), gzipSync('second')]
      const encoded = Buffer.concat([first, second])
      const whole = new Set([first.length, encoded.length])
      for (let length = 0; length <= encoded.length; length++) {
        const decode = () => decodeAll(new GzipDecoder(zlib), encoded.subarray(0, length), { input: 16, output: 64 })
        if (whole.has(length)) decode()
        else assert.throws(decode, { code: 'BAD_FORMAT' }, `${length} bytes`)
      }
    })

    test('trailers that lie are refused', () => {
      const encoded = gzipSync(body)
      for (const fromEnd of [8, 5, 4, 1]) {
        const bad = Buffer.from(encoded)
        bad[bad.length - fromEnd]! ^= 1
        assert.throws(() => decodeAll(new GzipDecoder(zlib), bad), { code: 'BAD_FORMAT' })
      }
    })

    test('damage is told in the words of zlib', () => {
      const bad = gzipSync('x')
      bad[2] = 7
      assert.throws(() => decodeAll(new GzipDecoder(zlib), bad), {
        message: 'Cannot decompress gzip data: unknown compression method',
      })
    })

    test('garbage behind the last member is refused', () => {
      for (const garbage of ['garbage', '\0\0garbage', '\x1f\x8b']) {
        const bad = Buffer.concat([gzipSync('x'), Buffer.from(garbage, 'latin1')])
        assert.throws(() => decodeAll(new GzipDecoder(zlib), bad, { input: 7, output: 64 }), { code: 'BAD_FORMAT' })
      }
    })
  })
