import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { fuzzLosses } from '../../../test/fuzz/toc.ts'
import { collect, openLayer, unpack } from '../../../test/fixtures/table-layers.ts'
import { file, header, pax, trailer } from '../../../test/fixtures/tar-bytes.ts'
import { entriesOfTar } from '../../../test/fixtures/tar-entries.ts'
import { digestOf } from '../../digest.ts'
import { sizeOf } from '../entry.ts'
import { writeEstargz } from '../estargz/write-estargz.ts'
import { writeStargzZstd } from '../stargz-zstd/write-stargz-zstd.ts'
import { writeZstdChunked } from '../zstd-chunked/write-chunked.ts'
import { differenceOf } from './entry-difference.ts'
import { SparseExpander } from './reduce-entry.ts'

const ranges = fc.array(fc.tuple(fc.nat(200_000), fc.nat(3000)), { maxLength: 5 }).map((gaps) => {
  let at = 0
  return gaps.map(([gap, length]): [number, number] => {
    const range: [number, number] = [at + gap, length]
    at += gap + length
    return range
  })
})

test('a sparse file is given out whole, in whatever pieces its parts come', () => {
  fc.assert(
    fc.property(ranges, fc.nat(100_000), fc.integer({ min: 1, max: 5000 }), (parts, more, piece) => {
      const [offset, length] = parts.at(-1) ?? [0, 0]
      const want = Buffer.alloc(offset + length + more)
      for (const [at, long] of parts) want.fill('0123456789abcdef', at, at + long)
      const got: Buffer[] = []
      const expander = new SparseExpander(parts, want.length, (bytes) => got.push(Buffer.from(bytes)))
      const stored = Buffer.concat(parts.map(([at, long]) => want.subarray(at, at + long)))
      for (let at = 0; at < stored.length; at += piece) expander.data(stored.subarray(at, at + piece))
      expander.end()
      assert.ok(Buffer.concat(got).equals(want))
    }),
    { numRuns: 60 },
  )
})

/** Entries that one table or another cannot hold, and a few that all can. */
const anyEntry: fc.Arbitrary<(name: string) => Buffer> = fc.oneof(
  fc.tuple(fc.integer({ min: -1e12, max: 1e12 }), fc.nat(999_999_999)).map(
    ([seconds, fraction]) =>
      (name: string) =>
        Buffer.concat([
          pax({ mtime: `${seconds}.${String(fraction).padStart(9, '0')}` }),
          file({ name }, Buffer.alloc(fraction % 2000, name)),
        ]),
  ),
  fc.constant((name: string) => file({ name: `${name}\xff` }, 'x')),
  fc.constant((name: string) => header({ name, typeflag: '2', link: '\xfe/target' })),
  fc.constant((name: string) => Buffer.concat([pax({ 'SCHILY.xattr.user.\xff': 'x' }), file({ name }, 'x')])),
  fc.constant((name: string) => Buffer.concat([pax({ 'LIBARCHIVE.xattr.user.x': 'eA==' }), file({ name }, 'x')])),
  fc
    .nat(9000)
    .map(
      (gap) => (name: string) =>
        Buffer.concat([
          pax({ 'GNU.sparse.map': `${gap},4,${gap + 90},1`, 'GNU.sparse.size': String(gap + 600) }),
          file({ name }, 'abcde'),
        ]),
    ),
  fc.nat(3000).map((length) => (name: string) => file({ name, mtime: length }, Buffer.alloc(length, name))),
)

const anyTar = fc
  .array(anyEntry, { maxLength: 8 })
  .map((entries) => Buffer.concat([...entries.map((make, i) => make(`n${i}`)), trailer]))

describe('with losses accepted, the table says what the tar says', () => {
  const own = /^(?:\.no\.prefetch\.landmark|stargz\.index\.json)$/
  const lost: string[] = []
  const onLoss = (path: string): void => void lost.push(path)
  const gzip = (bytes: Uint8Array): Uint8Array => gzipSync(bytes)
  const zstd = (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes)
  for (const [name, write] of [
    ['eStargz', (tar: Buffer) => writeEstargz([tar], { compress: gzip, onLoss })],
    ["stargz' zstd", (tar: Buffer) => writeStargzZstd([tar], { compress: zstd, onLoss })],
    ['zstd:chunked', (tar: Buffer) => writeZstdChunked([tar], { compress: zstd, onLoss })],
  ] as const)
    test(name, async () => {
      await fc.assert(
        fc.asyncProperty(anyTar, async (tar) => {
          const { blob, result } = await collect(write(tar))
          const written = unpack(blob)
          assert.equal(digestOf(written), result.diffId)
          const mediaType = name === 'eStargz' ? 'x+gzip' : 'x+zstd'
          const { index } = openLayer({ mediaType, ...result }, blob)
          const listed = index?.files.map(({ entry }) => entry) ?? []
          const held = entriesOfTar(written).filter(({ path }) => !own.test(path))
          assert.deepEqual(
            held.map((entry, i) => differenceOf(entry, listed[i]!)),
            held.map(() => undefined),
          )
          // Nothing is lost but what was told.
          const sizes = (bytes: Buffer): number[] =>
            entriesOfTar(bytes)
              .filter(({ path }) => !own.test(path))
              .map(({ content }) => sizeOf(content))
          assert.deepEqual(sizes(written), sizes(tar))
        }),
        { numRuns: 25 },
      )
      assert.ok(lost.length > 0)
    })
})

test('damaged tars, written with losses', () => fuzzLosses(1, 300))
