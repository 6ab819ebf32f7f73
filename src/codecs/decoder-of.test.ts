import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import type { Coding } from './coding.ts'
import { decoderFor, decoderOf } from './decoder-of.ts'

const body = Buffer.alloc(100_000, 'a body that is long enough to be compressed. ')
const gzip = gzipSync(body)
const headerBytes = 10

const encodings: readonly [coding: Coding, encoded: Uint8Array][] = [
  [{ kind: 'stored' }, body],
  [{ kind: 'gzip' }, gzip],
  [{ kind: 'zstd' }, zstdCompressSync(body)],
]

for (const [coding, encoded] of encodings)
  test(`${coding.kind} is decoded as what it is told to be, and as what it looks like`, () => {
    assert.ok(decodeAll(decoderOf(coding, 27), encoded).equals(body))
    assert.ok(decodeAll(decoderFor(encoded, 27), encoded).equals(body))
  })

test('deflate is decoded from behind the header', () => {
  const decoder = decoderOf({ kind: 'deflate', bits: 0, window: new Uint8Array(0) }, 27)
  assert.ok(decodeAll(decoder, gzip.subarray(headerBytes)).equals(body))
})

test('the largest window reaches the decoder', () => {
  const frame = zstdCompressSync(Buffer.alloc(1 << 20))
  assert.throws(() => decodeAll(decoderOf({ kind: 'zstd' }, 10), frame), { code: 'BAD_FORMAT' })
})

test('compressions that layers do not have are refused by name', () => {
  assert.throws(() => decoderFor(Buffer.from('fd377a585a0000', 'hex'), 27), { code: 'UNSUPPORTED', message: /xz/ })
})
