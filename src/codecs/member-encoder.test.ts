import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { noise } from '../../test/servers/registry.ts'
import { type MemberEncoder, encodedMax } from './codec.ts'
import { NodeGzipEncoder } from './gzip-encoder.ts'
import { memberLevels } from './coding.ts'
import { memberEncoder } from './member-encoder.ts'
import { NodeZstdEncoder } from './zstd-encoder.ts'

const lengths = [0, 1, 63, 255, 256, 257, 511, 512, 700, 16_383, 16_384, 32_767, 32_768, 32_769, 140_000, 1_000_000]
const inputs = lengths.flatMap((length) => [
  noise(length),
  Buffer.alloc(length, 'text that compresses. '),
  mixed(length),
])

/** Stretches of noise, of text and of repetition: what the levels differ in. */
function mixed(length: number): Buffer {
  const bytes = noise(length)
  for (let at = 0; at < length; at += 3000) bytes.copyWithin(at, Math.max(0, at - 2500), Math.max(0, at - 2500) + 1200)
  return Buffer.from(bytes.map((byte, at) => ((at >> 10) % 3 === 0 ? byte & 15 : byte)))
}

function encode(encoder: MemberEncoder, input: Uint8Array): Buffer {
  const output = new Uint8Array(encodedMax(input.length))
  return Buffer.from(output.subarray(0, encoder.encode(input, output)))
}

describe('memberEncoder()', () => {
  for (const coding of ['gzip', 'zstd'] as const)
    for (const level of [memberLevels[coding].min, memberLevels[coding].usual, memberLevels[coding].max])
      test(`${coding} at level ${level} gives bytes back, the same whatever came before`, () => {
        using encoder = memberEncoder(coding, level)
        const decode = coding === 'gzip' ? gunzipSync : zstdDecompressSync
        const once = inputs.map((input) => encode(encoder, input))
        for (const [i, input] of inputs.entries()) assert.ok(decode(once[i]!).equals(input))
        const again = inputs
          .toReversed()
          .map((input) => encode(encoder, input))
          .toReversed()
        for (const [i, bytes] of again.entries()) assert.ok(bytes.equals(once[i]!))
      })

  test('gzip has a header without name, time and system', () => {
    using encoder = memberEncoder('gzip', 6)
    assert.equal(encode(encoder, Buffer.from('x')).subarray(0, 10).toString('hex'), '1f8b08000000000000ff')
  })
})

describe('without exported libraries the same bytes come of', () => {
  for (let level = memberLevels.gzip.min; level <= memberLevels.gzip.max; level++)
    test(`gzip at level ${level}`, () => {
      using direct = memberEncoder('gzip', level)
      using byNode = new NodeGzipEncoder(level)
      for (const input of inputs)
        assert.ok(encode(byNode, input).equals(encode(direct, input)), `${input.length} bytes`)
    })

  for (const level of [1, 3, 5, 8, 13, 16, 19])
    test(`zstd at level ${level}`, () => {
      using direct = memberEncoder('zstd', level)
      using byNode = new NodeZstdEncoder(level)
      for (const input of inputs)
        assert.ok(encode(byNode, input).equals(encode(direct, input)), `${input.length} bytes`)
    })
})
