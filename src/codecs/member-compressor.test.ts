import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { noise } from '../../test/servers/registry.ts'
import { compressedMax, memberCompressor, memberLevels } from './member-compressor.ts'

const lengths = [1, 63, 255, 256, 257, 511, 512, 700, 32_767, 32_768, 32_769, 1_000_000]

describe('memberCompressor()', () => {
  for (const coding of ['gzip', 'zstd'] as const)
    for (const level of [memberLevels[coding].min, memberLevels[coding].usual, memberLevels[coding].max])
      test(`${coding} at level ${level} gives bytes back, the same whatever came before`, () => {
        using compressor = memberCompressor(coding, level)
        const decode = coding === 'gzip' ? gunzipSync : zstdDecompressSync
        const compress = (input: Uint8Array): Buffer => {
          const output = new Uint8Array(compressedMax(input.length))
          return Buffer.from(output.subarray(0, compressor.compress(input, output)))
        }
        const inputs = lengths.flatMap((length) => [noise(length), Buffer.alloc(length, 'text that compresses. ')])
        const once = inputs.map(compress)
        for (const [i, input] of inputs.entries()) assert.ok(decode(once[i]!).equals(input))
        const again = inputs.toReversed().map(compress).toReversed()
        for (const [i, bytes] of again.entries()) assert.ok(bytes.equals(once[i]!))
      })

  test('gzip has a header without name, time and system', () => {
    using compressor = memberCompressor('gzip', 6)
    const output = new Uint8Array(compressedMax(1))
    compressor.compress(Buffer.from('x'), output)
    assert.equal(Buffer.from(output.subarray(0, 10)).toString('hex'), '1f8b08000000000000ff')
  })
})
