import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { Drain } from '../../codecs/codec.ts'
import { digestOf } from '../../digest.ts'
import { indexingCodecs } from '../../transfer/indexing-codecs.ts'
import { noise } from '../../../test/servers/registry.ts'
import { type SpanTable, spanIndexerFor } from './span-indexer.ts'

const spanSize = 10_000
const options = { spanSize, zstd: true }

interface Indexed {
  readonly table: SpanTable
  readonly output: Buffer
}

/** Room for exactly as much as a piece is long: a decoder that fills it may have more to give. */
function indexed(blob: Buffer, piece: number): Indexed {
  const indexer = spanIndexerFor(blob, 'of a test', options, indexingCodecs)
  using drain = new Drain(indexer, 'a test')
  const room = new Uint8Array(piece)
  const output: Buffer[] = []
  for (let at = 0; at < blob.length; at += piece) {
    drain.give(blob.subarray(at, at + piece))
    for (let length = drain.read(room); length > 0; length = drain.read(room))
      output.push(Buffer.from(room.subarray(0, length)))
  }
  return { table: indexer.finish(), output: Buffer.concat(output) }
}

function digestsOf(spans: readonly Uint8Array[]): string[] {
  return spans.map((span) => digestOf(span))
}

describe('spanIndexerFor()', () => {
  for (const length of [1, spanSize - 1, spanSize, spanSize + 1, 3 * spanSize, 3 * spanSize + 5000])
    for (const piece of [1000, spanSize, 7777])
      test(`${length} plain bytes in pieces of ${piece} are cut every ${spanSize}`, () => {
        const blob = noise(length)
        const spans: Buffer[] = []
        for (let at = 0; at < length; at += spanSize) spans.push(blob.subarray(at, at + spanSize))
        const { table, output } = indexed(blob, piece)
        assert.ok(output.equals(blob))
        assert.equal(table.algorithm, 'uncompressed')
        assert.deepEqual(table.spanDigests, digestsOf(spans))
      })

  for (const piece of [100, 4000, 1_000_000])
    test(`zstd in pieces of ${piece} is cut behind the frames that complete a span, but for the last`, () => {
      const contents = [6000, 6000, 3000, 20_000, 8000, 4000].map((length, i) => noise(length, i + 1))
      const frames = contents.map((content) => zstdCompressSync(content))
      const { table, output } = indexed(Buffer.concat(frames), piece)
      const spans = [frames.slice(0, 2), frames.slice(2, 4), frames.slice(4)].map((parts) => Buffer.concat(parts))
      assert.ok(output.equals(Buffer.concat(contents)))
      assert.equal(table.algorithm, 'zstd')
      assert.deepEqual(table.spanDigests, digestsOf(spans))
    })

  test('gzip is cut where its blocks end', () => {
    const content = Buffer.alloc(200_000, noise(70_000))
    const { table, output } = indexed(gzipSync(content), 5000)
    assert.ok(output.equals(content))
    assert.equal(table.algorithm, 'gzip')
    assert.ok(table.spanDigests.length > 3)
  })

  test('zstd is refused unless it is asked for', () => {
    const blob = zstdCompressSync('x')
    const without = { ...options, zstd: false }
    assert.throws(() => spanIndexerFor(blob, 'of a test', without, indexingCodecs), { code: 'UNSUPPORTED' })
  })

  test('a blob that is cut short has no table', () => {
    for (const blob of [gzipSync(noise(1000)), zstdCompressSync(noise(1000))])
      assert.throws(() => indexed(blob.subarray(0, -1), 100), { code: 'BAD_FORMAT' })
  })
})
