import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { constants, gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import { zlibCopies } from '../../test/fixtures/native-copies.ts'
import { fuzzGzipSpans } from '../../test/fuzz/soci.ts'
import { vectors, withoutVectors } from '../../test/vectors.ts'
import { hasCode } from '../error.ts'
import { readZtoc } from '../formats/soci/ztoc.ts'
import { writeGzipCheckpoints } from '../formats/soci/checkpoints.ts'
import type { GzipIndex } from './codec.ts'
import { GzipIndexer } from './gzip-indexer.ts'
import { GzipSpanDecoder } from './gzip-span-decoder.ts'
import type { Zlib } from './native.ts'

const blobs = `${vectors('one-tree') ?? ''}/oci/blobs/sha256`

for (const [copy, zlib] of zlibCopies)
  describe(`GzipIndexer with ${copy} zlib`, () => {
    for (const [ztocName, layer] of [
      [
        'deef0b2b4d66914cd1471fc10823342fc92e5bf57923f29e4cb555bc50d8b6b7',
        '335e7d54e53f6284219454f7aa13c57d8562e86952d1933317cd450757f3aaea',
      ],
      [
        '5ae584def9ec46668a7de425643f3513cb2dce1febff1174d56720c362501299',
        '3ef6e70f6e2112e15810bae1a79ad0685ce18e96f2707e68fb6f6e9f2a78dd88',
      ],
    ] as const)
      test(`finds the checkpoints of soci 0.15 in ${layer.slice(0, 12)}`, { skip: withoutVectors('one-tree') }, () => {
        const ztoc = readZtoc(readFileSync(`${blobs}/${ztocName}`), { maxEntries: 1000 })
        const { index } = indexed(readFileSync(`${blobs}/${layer}`), 262_144, zlib)
        const written = writeGzipCheckpoints({ spanSize: 262_144, list: index.points })
        assert.ok(Buffer.from(written).equals(ztoc.checkpoints))
        assert.deepEqual(
          index.spanDigests.map((hex) => `sha256:${hex}`),
          ztoc.spanDigests,
        )
      })

    test('finds points from which everything can be decompressed, however it was compressed', () => {
      const part = fc.record({
        seed: fc.nat(),
        length: fc.integer({ min: 0, max: 200_000 }),
        level: fc.constantFrom(0, 1, 6, 9),
        strategy: fc.constantFrom(constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED, constants.Z_HUFFMAN_ONLY),
      })
      const property = fc.property(
        fc.array(part, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 100, max: 60_000 }),
        (parts, spanSize) => {
          const blob = Buffer.concat(
            parts.map(({ seed, length, level, strategy }) => gzipSync(sample(seed, length), { level, strategy })),
          )
          const { index, output } = indexed(blob, spanSize, zlib)
          const whole = gunzipSync(blob)
          assert.ok(output.equals(whole))
          index.points.forEach((point, i) => {
            const start = point.in - (point.bits > 0 ? 1 : 0)
            const end = index.points[i + 1]?.in ?? blob.length
            const span = blob.subarray(start, end)
            assert.equal(createHash('sha256').update(span).digest('hex'), index.spanDigests[i])
            const wanted = whole.subarray(point.out, index.points[i + 1]?.out ?? whole.length)
            assert.ok(
              decodeAll(new GzipSpanDecoder(point.bits, point.window, zlib), span, { input: 5000 })
                .subarray(0, wanted.length)
                .equals(wanted),
            )
          })
        },
      )
      fc.assert(property, { numRuns: 40 })
    })

    test('takes zeros behind the last member, and nothing else', () => {
      const blob = gzipSync('content')
      assert.equal(indexed(Buffer.concat([blob, Buffer.alloc(600)]), 100, zlib).output.toString(), 'content')
      assert.throws(() => indexed(Buffer.concat([blob, Buffer.from('x')]), 100, zlib), isDamage)
      assert.throws(() => indexed(blob.subarray(0, -3), 100, zlib), isDamage)
    })
  })

function isDamage(error: unknown): boolean {
  return hasCode(error, 'BAD_FORMAT')
}

/** Text that compresses somewhat, in stretches of noise and repetition. */
function sample(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed | 1
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0
    bytes[i] = (i >> 12) % 3 === 0 ? state >>> 16 : 0x61 + ((state >>> 24) % 5)
  }
  return bytes
}

function indexed(blob: Buffer, spanSize: number, zlib: Zlib): { index: GzipIndex; output: Buffer } {
  const indexer = new GzipIndexer(spanSize, zlib)
  const output = decodeAll(indexer, blob)
  return { index: indexer.finish(), output }
}

test('damaged streams', () => fuzzGzipSpans(1, 2000))
