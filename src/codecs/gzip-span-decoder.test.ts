import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { constants, deflateRawSync, gzipSync } from 'node:zlib'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import { zlibCopies } from '../../test/fixtures/native-copies.ts'
import { GzipSpanDecoder } from './gzip-span-decoder.ts'

const nothing = new Uint8Array(0)
const trailer = Buffer.alloc(8, 'trailer!')

for (const [copy, zlib] of zlibCopies)
  describe(`a span of gzip with ${copy} zlib`, () => {
    test('goes on through the members after it, without a look at its trailer', () => {
      const blob = Buffer.concat([deflateRawSync('first '), trailer, gzipSync('second '), gzipSync('third')])
      for (const input of [1, 3, 1000]) {
        const output = decodeAll(new GzipSpanDecoder(0, nothing, zlib), blob, { input, output: 4 })
        assert.equal(output.toString(), 'first second third')
      }
    })

    test('may refer to the window before it', () => {
      const window = Buffer.from('what came before')
      const blob = deflateRawSync(window, { dictionary: window, finishFlush: constants.Z_SYNC_FLUSH })
      assert.ok(blob.length < window.length)
      assert.equal(decodeAll(new GzipSpanDecoder(0, window, zlib), blob).toString(), 'what came before')
      assert.throws(() => decodeAll(new GzipSpanDecoder(0, nothing, zlib), blob), { code: 'BAD_FORMAT' })
    })

    test('may begin within a byte', () => {
      // A fixed block: 1 (last), 01 (fixed codes), then 'a' as 10010001 and the end as 0000000, each code from its high bit.
      const bits = ['1', '10', '10010001', '0000000'].join('')
      for (const first of [1, 4, 7]) {
        const padded = `${'1'.repeat(8 - first)}${bits}`.padEnd(32, '0')
        const blob = Buffer.from([0, 8, 16, 24].map((at) => byteOf(padded.slice(at, at + 8))))
        assert.equal(decodeAll(new GzipSpanDecoder(first, nothing, zlib), blob).toString(), 'a', `${first} bits`)
      }
    })

    test('is refused where it is damaged', () => {
      assert.throws(() => decodeAll(new GzipSpanDecoder(0, nothing, zlib), Buffer.alloc(20, 0xff)), {
        code: 'BAD_FORMAT',
      })
      const garbage = Buffer.concat([deflateRawSync('x'), trailer, Buffer.from('garbage')])
      assert.throws(() => decodeAll(new GzipSpanDecoder(0, nothing, zlib), garbage), { code: 'BAD_FORMAT' })
    })
  })

/** A byte of which the lowest bit comes first. */
function byteOf(bits: string): number {
  return Array.from(bits).reduce((byte, bit, at) => byte | (Number(bit) << at), 0)
}
