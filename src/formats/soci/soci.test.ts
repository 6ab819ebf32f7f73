import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzzZtoc } from '../../../test/fuzz/soci.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { defaultTocLimits } from '../toc-json/toc-json.ts'
import {
  readCheckpoints,
  writeGzipCheckpoints,
  writeUncompressedCheckpoints,
  writeZstdCheckpoints,
} from './checkpoints.ts'
import { FlatBuilder } from './flatbuffer-write.ts'
import { writeSociIndex, ztocsOf } from './index-manifest.ts'
import { readSociLayer } from './read-soci.ts'
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

  test('read and written again, the index manifest is the same to the byte', () => {
    const bytes = readFileSync(`${blobs}/c1e7c23d80e723af0f99ee3126553302dca8e52ab60beb435d1cf6e5d167dcbb`)
    const manifest = JSON.parse(bytes.toString()) as { layers: Descriptor[] }
    const ztocs = [...ztocsOf(manifest.layers)]
    const layers = ztocs.map(([digest, ztoc]) => ({
      layer: { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 0 },
      ztoc,
      spanSize: 262_144,
    }))
    assert.deepEqual(Buffer.from(writeSociIndex(layers, { buildTool: 'AWS SOCI CLI v0.2' })), bytes)
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

describe('checkpoints', () => {
  const point = { in: 10, out: 0, bits: 0, window: Buffer.alloc(32_768) }
  const second = { in: 400, out: 5000, bits: 3, window: Buffer.alloc(32_768, 7) }

  test('of a gzip layer come back', () => {
    const list = [point, second]
    assert.deepEqual(readCheckpoints(writeGzipCheckpoints({ spanSize: 4096, list }), 'gzip', 2), {
      spanSize: 4096,
      list,
    })
  })

  test('of version 1 have a first one that is implied', () => {
    const bytes = Buffer.from(writeGzipCheckpoints({ spanSize: 4096, list: [second] }))
    bytes.writeInt32LE(2, 0)
    assert.deepEqual(readCheckpoints(bytes, 'gzip', 2).list, [point, second])
  })

  test('of a zstd layer come back', () => {
    const list = [point, second].map((each) => ({ ...each, bits: 0, window: Buffer.alloc(0) }))
    const read = readCheckpoints(writeZstdCheckpoints({ spanSize: 4096, list }), 'zstd', 2)
    assert.deepEqual(
      read.list.map(({ in: input, out }) => [input, out]),
      [
        [10, 0],
        [400, 5000],
      ],
    )
  })

  test('of a layer that is not compressed are its spans', () => {
    const { list } = readCheckpoints(writeUncompressedCheckpoints(1000, 2500), 'uncompressed', 3)
    assert.deepEqual(
      list.map(({ in: input, out }) => [input, out]),
      [
        [0, 0],
        [1000, 1000],
        [2000, 2000],
      ],
    )
  })

  test('that do not ascend are refused', () => {
    const bytes = writeGzipCheckpoints({ spanSize: 4096, list: [point, { ...second, in: 10 }] })
    assert.throws(() => readCheckpoints(bytes, 'gzip', 2), coded('BAD_FORMAT'))
  })

  test('that are more than there are digests are refused before they are made', () => {
    const bytes = writeUncompressedCheckpoints(1, 2 ** 40)
    assert.throws(() => readCheckpoints(bytes, 'uncompressed', 2), coded('BAD_FORMAT'))
  })

  test('that are not as many as they say are refused', () => {
    const bytes = writeGzipCheckpoints({ spanSize: 4096, list: [point, second] })
    assert.throws(() => readCheckpoints(bytes.subarray(0, -1), 'gzip', 2), coded('BAD_FORMAT'))
  })
})

describe('readSociLayer', () => {
  const layer: Descriptor = { mediaType: 'x', digest: digestOf('layer'), size: 1000 }
  const read = (change: Partial<Ztoc>) =>
    readSociLayer(writeZtoc({ ...smallZtoc(), ...change }), layer, { bound: true }, defaultTocLimits)

  test('cuts files at spans', () => {
    const toc = read({})
    assert.deepEqual(
      toc.units.map(({ start, end }) => [start, end]),
      [
        [10, 400],
        [399, 1000],
      ],
    )
    assert.deepEqual(
      toc.files.map(({ entry, extents }) => [
        entry.path,
        extents.map(({ offset, length, unit, skip }) => [offset, length, unit, skip]),
      ]),
      [
        ['dir', []],
        [
          'dir/file',
          [
            [0, 3976, 0, 1024],
            [3976, 2024, 1, 0],
          ],
        ],
      ],
    )
  })

  for (const [what, change, code] of [
    ['a table of another layer', { blobSize: 999 }, 'BAD_FORMAT'],
    ['a span without a digest', { spanDigests: [digestOf('a')] }, 'BAD_FORMAT'],
    ['a digest that is none', { spanDigests: [digestOf('a'), 'sha256:x'] }, 'BAD_FORMAT'],
    ['a file that ends behind the tar', { tarSize: 7000 }, 'BAD_FORMAT'],
    ['files that overlap', { files: smallZtoc().files.map((each) => ({ ...each, offset: 512 })) }, 'BAD_FORMAT'],
    ['a name twice', { files: smallZtoc().files.map((each) => ({ ...each, name: 'same' })) }, 'UNSUPPORTED'],
    ['a name that leads out', { files: smallZtoc().files.map((each) => ({ ...each, name: '../x' })) }, 'BAD_FORMAT'],
    ['a type that is unknown', { files: smallZtoc().files.map((each) => ({ ...each, type: 'door' })) }, 'BAD_FORMAT'],
    [
      'a sparse file',
      { files: smallZtoc().files.map((each) => ({ ...each, records: new Map([['GNU.sparse.map', '0,1']]) })) },
      'UNSUPPORTED',
    ],
  ] as const)
    test(`refuses ${what}`, () => {
      assert.throws(() => read(change), coded(code))
    })
})

function smallZtoc(): Ztoc {
  const base = {
    link: '',
    mode: 0o755,
    uid: 0,
    gid: 1000,
    uname: 'root',
    gname: '',
    mtime: '2023-11-14T22:13:20Z',
    major: 0,
    minor: 0,
  }
  const window = Buffer.alloc(32_768)
  return {
    buildTool: 'a test',
    blobSize: 1000,
    tarSize: 8192,
    files: [
      { ...base, name: 'dir/', type: 'dir', offset: 512, size: 0, records: new Map() },
      {
        ...base,
        name: 'dir/file',
        type: 'reg',
        offset: 1024,
        size: 6000,
        records: new Map([['SCHILY.xattr.user.a', '1']]),
      },
    ],
    algorithm: 'gzip',
    spanDigests: [digestOf('a'), digestOf('b')],
    checkpoints: Buffer.from(
      writeGzipCheckpoints({
        spanSize: 4096,
        list: [
          { in: 10, out: 0, bits: 0, window },
          { in: 400, out: 5000, bits: 3, window },
        ],
      }),
    ),
  }
}

function coded(code: Parameters<typeof hasCode>[1]): (error: unknown) => boolean {
  return (error) => hasCode(error, code)
}

test('damaged tables', () => fuzzZtoc(1, 2000))
