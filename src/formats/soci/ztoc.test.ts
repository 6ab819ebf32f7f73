import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzzZtoc } from '../../../test/fuzz/soci.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { readCheckpoints, writeGzipCheckpoints } from './checkpoints.ts'
import { smallZtoc } from '../../../test/fixtures/small-ztoc.ts'
import { FlatBuilder } from './flatbuffer-write.ts'
import { type Ztoc, type ZtocFile, readZtoc, writeZtoc } from './ztoc.ts'

const limits = { maxEntries: 1000 }
const blobs = `${vectors('one-tree') ?? ''}/oci/blobs/sha256`
/** zTOC and layer of each of the two layers. */
const indexed = [
  [
    'deef0b2b4d66914cd1471fc10823342fc92e5bf57923f29e4cb555bc50d8b6b7',
    '335e7d54e53f6284219454f7aa13c57d8562e86952d1933317cd450757f3aaea',
  ],
  [
    '5ae584def9ec46668a7de425643f3513cb2dce1febff1174d56720c362501299',
    '3ef6e70f6e2112e15810bae1a79ad0685ce18e96f2707e68fb6f6e9f2a78dd88',
  ],
] as const

describe('zTOCs of soci 0.15', { skip: withoutVectors('one-tree') }, () => {
  for (const [name] of indexed)
    test(`read and written again, ${name.slice(0, 12)} is the same to the byte`, () => {
      const bytes = readFileSync(`${blobs}/${name}`)
      const ztoc = readZtoc(bytes, limits)
      assert.deepEqual(Buffer.from(writeZtoc(ztoc)), bytes)
      assert.deepEqual(
        Buffer.from(writeGzipCheckpoints(readCheckpoints(ztoc.checkpoints, 'gzip', ztoc.spanDigests.length))),
        Buffer.from(ztoc.checkpoints),
      )
    })
})

const text = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 20,
})
/** Objects like those that are read, with a prototype. */
function plainRecord<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(model, { noNullPrototype: true })
}

const size = fc.integer({ min: 0, max: 2 ** 40 })
const file: fc.Arbitrary<ZtocFile> = plainRecord({
  name: text,
  type: fc.constantFrom('reg', 'dir', 'symlink'),
  offset: size,
  size,
  link: text,
  mode: fc.nat(0o7777),
  uid: fc.nat(2 ** 31 - 1).map((id) => id * 2),
  gid: fc.nat(),
  uname: text,
  gname: text,
  mtime: fc.constantFrom('2023-11-14T22:13:20Z', '2023-11-14T22:13:20.5Z'),
  major: fc.nat(0xfff),
  minor: fc.nat(0xfffff),
  records: fc
    .uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 4 })
    .map((pairs) => new Map(pairs.sort(([a], [b]) => (a < b ? -1 : 1)))),
})
const ztoc: fc.Arbitrary<Ztoc> = plainRecord({
  buildTool: text,
  blobSize: size,
  tarSize: size,
  files: fc.array(file, { maxLength: 8 }),
  algorithm: fc.constantFrom('gzip', 'uncompressed', 'zstd'),
  spanDigests: fc.array(
    text.map((value) => digestOf(value)),
    { minLength: 1, maxLength: 4 },
  ),
  checkpoints: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
})

describe('writeZtoc', () => {
  test('writes what readZtoc reads', () => {
    fc.assert(fc.property(ztoc, (value) => assert.deepEqual(readZtoc(writeZtoc(value), limits), value)))
  })

  test('writes the bytes it has always written', () => {
    assert.equal(
      digestOf(writeZtoc(smallZtoc())),
      'sha256:0f212e0d6cacc4d3010f12d4cc227add8e9cdfa92818bbae44b716d6833c89ee',
    )
  })
})

test('a string that many fields share cannot multiply itself', () => {
  const builder = new FlatBuilder()
  const version = builder.string('0.9')
  const long = builder.string('x'.repeat(100_000))
  const files = Array.from({ length: 100 }, () => {
    builder.startTable(14)
    builder.addOffset(0, long)
    return builder.endTable()
  })
  const vector = builder.vector(files)
  builder.startTable(1)
  builder.addOffset(0, vector)
  const toc = builder.endTable()
  const digests = builder.vector([builder.string(digestOf('a'))])
  builder.startTable(4)
  builder.addOffset(2, digests)
  const compression = builder.endTable()
  builder.startTable(6)
  builder.addOffset(0, version)
  builder.addOffset(4, toc)
  builder.addOffset(5, compression)
  const bytes = builder.finish(builder.endTable())
  assert.throws(() => readZtoc(bytes, limits), { code: 'BAD_FORMAT', message: /used more than once/ })
})

test('damaged tables', () => fuzzZtoc(1, 2000))
