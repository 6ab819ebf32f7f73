import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { noise } from '../../../test/servers/registry.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { FastCdcChunker, type FastCdcSizes } from './fastcdc.ts'

function chunksOf(pieces: Iterable<Uint8Array>, sizes?: FastCdcSizes): { lengths: number[]; bytes: Buffer } {
  const lengths: number[] = []
  const parts: Buffer[] = []
  let length = 0
  const sink = {
    data(bytes: Uint8Array) {
      parts.push(Buffer.from(bytes))
      length += bytes.length
    },
    cut() {
      lengths.push(length)
      length = 0
    },
  }
  const chunker = new FastCdcChunker(sink, sizes)
  for (const piece of pieces) chunker.write(piece)
  chunker.end()
  assert.equal(length, 0)
  return { lengths, bytes: Buffer.concat(parts) }
}

const name = 'SekienAkashita.jpg'

describe('the cut points of fastcdc-rs', { skip: withoutVectors(name) }, () => {
  const cases: readonly (readonly [min: number, average: number, max: number, lengths: readonly number[]])[] = [
    [4096, 16_384, 65_535, [21_325, 17_140, 28_084, 18_217, 24_700]],
    [8192, 32_768, 131_072, [66_549, 42_917]],
    [16_384, 65_536, 262_144, [109_466]],
  ]
  for (const [min, average, max, lengths] of cases)
    test(`${min}, ${average}, ${max}`, () => {
      const bytes = readFileSync(vectors(name) ?? '')
      assert.deepEqual(chunksOf([bytes], { min, average, max }).lengths, lengths)
    })
})

/** The rule as it is written down, with numbers of any size: slow, and of nothing but the rule. */
function cutsByTheRule(bytes: Uint8Array, { min, average, max }: FastCdcSizes, small: bigint, large: bigint): number[] {
  const gear = Array.from({ length: 256 }, (_, byte) => {
    const hex = Buffer.from(digestOfMd5(byte)).toString('hex')
    return BigInt(`0x${hex.slice(0, 16)}`)
  })
  const lengths: number[] = []
  for (let from = 0; from < bytes.length;) {
    const length = cutAt(bytes.subarray(from))
    lengths.push(length)
    from += length
  }
  return lengths

  function cutAt(rest: Uint8Array): number {
    if (rest.length <= min) return rest.length
    const center = Math.min(average, rest.length)
    const limit = Math.min(max, rest.length)
    let hash = 0n
    for (let pair = Math.floor(min / 2); pair < Math.floor(limit / 2); pair++) {
      const mask = pair < Math.floor(center / 2) ? small : large
      hash = BigInt.asUintN(64, (hash << 2n) + (gear[rest[pair * 2]!]! << 1n))
      if ((hash & (mask << 1n)) === 0n) return pair * 2
      hash = BigInt.asUintN(64, hash + gear[rest[pair * 2 + 1]!]!)
      if ((hash & mask) === 0n) return pair * 2 + 1
    }
    return limit
  }
}

function digestOfMd5(byte: number): Uint8Array {
  return createHash('md5').update(Buffer.alloc(64, byte)).digest()
}

test('cuts by the rule, in whatever pieces the bytes come', () => {
  const content = fc.array(
    fc.oneof(
      fc.tuple(fc.nat(), fc.nat(60_000)).map(([seed, length]) => noise(length, seed)),
      fc.nat(40_000).map((length) => Buffer.alloc(length)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 40 }), fc.nat(30_000))
        .map(([seed, n]) => Buffer.alloc(n, seed)),
    ),
    { maxLength: 4 },
  )
  const sizes = fc.record({
    min: fc.integer({ min: 64, max: 9000 }),
    average: fc.constant(16_384),
    max: fc.integer({ min: 16_384, max: 70_000 }),
  })
  fc.assert(
    fc.property(content, sizes, fc.integer({ min: 1, max: 50_000 }), (parts, chosen, piece) => {
      const bytes = Buffer.concat(parts)
      const pieces = Array.from({ length: Math.ceil(bytes.length / piece) }, (_, i) =>
        bytes.subarray(i * piece, (i + 1) * piece),
      )
      const got = chunksOf(pieces, chosen)
      assert.ok(got.bytes.equals(bytes))
      assert.deepEqual(got.lengths, cutsByTheRule(bytes, chosen, 0x0000d90f03530000n, 0x0000d90303530000n))
    }),
    { numRuns: 40 },
  )
})

test('the same cuts as ever', () => {
  const { lengths } = chunksOf([noise(2_000_000)])
  assert.deepEqual(
    [lengths.length, digestOf(lengths.join())],
    [27, 'sha256:be2a002d76d57fa36b52fe0c810229077d7d4c412b7c68e6068070f404c5b6ac'],
  )
})

test('sizes without masks are refused', () => {
  for (const sizes of [
    { min: 2048, average: 8192, max: 65_536 },
    { min: 2048, average: 20_000, max: 65_536 },
    { min: 1, average: 16_384, max: 65_536 },
    { min: 20_000, average: 16_384, max: 65_536 },
    { min: 2048, average: 16_384, max: 16_000 },
  ])
    assert.throws(() => new FastCdcChunker({ data() {}, cut() {} }, sizes), { code: 'USAGE' })
})
