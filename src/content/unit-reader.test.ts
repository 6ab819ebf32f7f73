import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { noise } from '../../test/servers/registry.ts'
import type { Coding } from '../codecs/coding.ts'
import { digestOf } from '../digest.ts'
import { hasCode } from '../error.ts'
import { type ContentDigests, noDigests } from '../formats/content-digests.ts'
import type { ContentIndex, Unit } from '../formats/content-index.ts'
import type { Descriptor } from '../formats/oci/descriptor.ts'
import { Arena } from './arena.ts'
import type { BlobPart, RangeSource } from './range-source.ts'
import { UnitReader } from './unit-reader.ts'

const codings: readonly (readonly [Coding['kind'], (bytes: Uint8Array) => Uint8Array])[] = [
  ['stored', (bytes) => bytes],
  ['gzip', (bytes) => gzipSync(bytes)],
  ['zstd', (bytes) => zstdCompressSync(bytes)],
]

interface Sample {
  readonly index: ContentIndex
  /** What each unit decodes to. */
  readonly contents: readonly Buffer[]
  readonly blobs: ReadonlyMap<Descriptor, Buffer>
}

/** Two blobs of three units each, in every coding, with digests of their bytes as they lie there. */
function sample(withDigests = true): Sample {
  const contents: Buffer[] = []
  const units: Unit[] = []
  const blobs = new Map<Descriptor, Buffer>()
  for (const blob of [0, 1]) {
    const parts: Uint8Array[] = []
    let at = 0
    for (const [kind, encode] of codings) {
      const content = Buffer.concat([noise(40_000, units.length), Buffer.alloc(30_000, kind)])
      const bytes = encode(content)
      const digests: ContentDigests = withDigests ? { sha256: digestOf(bytes) } : noDigests
      units.push({ blob, start: at, end: at + bytes.length, coding: { kind } as Coding, digests })
      contents.push(content)
      parts.push(bytes)
      at += bytes.length
    }
    const bytes = Buffer.concat(parts)
    blobs.set({ mediaType: 'x', digest: digestOf(bytes), size: bytes.length }, bytes)
  }
  const chunking = { kind: 'none' } as const
  const index = {
    format: 'x',
    scope: 'image',
    bound: true,
    blobs: [...blobs.keys()],
    units,
    files: [],
    chunking,
  } as const
  return { index, contents, blobs }
}

/** Gives parts of at most `most` bytes, and counts them. */
class MemoryRanges implements RangeSource {
  fetched = 0
  readonly #blobs: Sample['blobs']
  readonly #most: number

  constructor(blobs: Sample['blobs'], most = 10_000) {
    this.#blobs = blobs
    this.#most = most
  }

  async fetch(blob: Descriptor, at: number, end: number): Promise<BlobPart> {
    const bytes = this.#blobs.get(blob)!.subarray(at, Math.min(end, at + this.#most))
    this.fetched += bytes.length
    return { start: at, bytes }
  }
}

function open({ index, blobs }: Sample, ranges = new MemoryRanges(blobs)): UnitReader {
  return new UnitReader(index, { arena: new Arena(() => {}), ranges, zstdWindowLog: 27 })
}

async function read(reader: UnitReader, unit: number, skip: number, length: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of reader.read(unit, skip, length)) pieces.push(piece.slice())
  return Buffer.concat(pieces)
}

describe('units of an index', () => {
  test('are read in any order, of any blob, in whatever coding', async () => {
    const { index, contents, blobs } = sample()
    const place = fc.record({ unit: fc.nat(5), skip: fc.nat(69_999), length: fc.nat(70_000) })
    const property = fc.asyncProperty(fc.array(place, { maxLength: 8 }), fc.integer({ min: 1, max: 50_000 }), check)
    async function check(
      places: readonly { readonly unit: number; readonly skip: number; readonly length: number }[],
      most: number,
    ): Promise<void> {
      using reader = open({ index, contents, blobs }, new MemoryRanges(blobs, most))
      for (const { unit, skip, length } of places) {
        const wanted = Math.min(length, 70_000 - skip)
        assert.ok((await read(reader, unit, skip, wanted)).equals(contents[unit]!.subarray(skip, skip + wanted)))
      }
      await reader.finish()
    }
    await fc.assert(property, { numRuns: 60 })
  })

  test('are fetched once when they are read from front to back', async () => {
    const made = sample()
    const ranges = new MemoryRanges(made.blobs)
    using reader = open(made, ranges)
    for (const [unit, content] of made.contents.entries())
      for (let skip = 0; skip < content.length; skip += 7000)
        await read(reader, unit, skip, Math.min(7000, content.length - skip))
    await reader.finish()
    const bytes = [...made.blobs.values()].reduce((sum, { length }) => sum + length, 0)
    assert.equal(ranges.fetched, bytes)
  })

  test('are verified by their own digests, also where only their beginning is wanted', async () => {
    const made = sample()
    const [blob, bytes] = [...made.blobs][0]!
    const damaged = Buffer.from(bytes)
    const [unit] = made.index.units
    damaged[unit!.end - 1]! ^= 1
    const other = { ...made, blobs: new Map([...made.blobs, [blob, damaged]]) }
    using reader = open(other)
    await read(reader, 0, 0, 10)
    await assert.rejects(reader.finish(), (error) => hasCode(error, 'DIGEST_MISMATCH'))
    await read(reader, 0, 0, 10)
    await assert.rejects(read(reader, 1, 0, 10), (error) => hasCode(error, 'DIGEST_MISMATCH'))
  })

  test('that end too early are refused, and so are those that are not there', async () => {
    using reader = open(sample(false))
    await assert.rejects(read(reader, 1, 69_000, 2000), (error) => hasCode(error, 'BAD_FORMAT'))
    await assert.rejects(read(reader, 6, 0, 1), (error) => hasCode(error, 'BAD_FORMAT'))
  })
})
