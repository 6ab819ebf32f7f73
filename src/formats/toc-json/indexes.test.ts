import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { fuzzFooter, fuzzTables, fuzzTarSplit } from '../../../test/fuzz/toc.ts'
import {
  type Collected,
  type OpenOptions,
  collect,
  contentOf,
  openLayer,
  splitTar,
  unpack,
} from '../../../test/fixtures/table-layers.ts'
import { file, header, tar } from '../../../test/fixtures/tar-bytes.ts'
import { entriesOfTar } from '../../../test/fixtures/tar-entries.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import type { ContentIndex } from '../content-index.ts'
import { type Entry, noContent } from '../entry.ts'
import { writeEstargzFooter } from '../estargz/estargz-footer.ts'
import { writeEstargz } from '../estargz/write-estargz.ts'
import { tableLayerDigest } from '../estargz/estargz-index.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { stargzZstdChecksum, stargzZstdPosition } from '../stargz-zstd/stargz-zstd-annotations.ts'
import { chunkedChecksum, chunkedPosition, chunkedTarSplit } from '../zstd-chunked/chunked-annotations.ts'
import { readTarSplit } from '../zstd-chunked/read-tar-split.ts'
import { writeStargzZstd } from '../stargz-zstd/write-stargz-zstd.ts'
import { writeZstdChunked } from '../zstd-chunked/write-chunked.ts'
import { stargzTocDigest } from './toc-annotations.ts'
import { defaultTocLimits } from './toc-json.ts'
import type { TableFacts } from './toc-written.ts'
import { parseZstdFooter } from './zstd-footer.ts'

const layout = 'one-tree/oci'

interface Manifest {
  readonly layers: readonly Descriptor[]
}

function json(path: string): unknown {
  return JSON.parse(readFileSync(vectors(`${layout}/${path}`)!, 'utf8'))
}

function blob(digest: string): Buffer {
  return readFileSync(vectors(`${layout}/blobs/sha256/${digest.slice(7)}`)!)
}

function layersOf(tag: string): readonly Descriptor[] {
  const index = json('index.json') as { manifests: { digest: string; annotations: Record<string, string> }[] }
  const { digest } = index.manifests.find((m) => m.annotations['org.opencontainers.image.ref.name'] === tag)!
  return (json(`blobs/sha256/${digest.slice(7)}`) as Manifest).layers
}

/** The entries that the tar in the blob has, without what eStargz put there. */
function entriesOf(bytes: Uint8Array): Entry[] {
  return entriesOfTar(unpack(bytes))
    .filter(({ path }) => !['stargz.index.json', '.no.prefetch.landmark'].includes(path))
    .map((entry) => ({ ...entry, content: noContent }))
}

describe('tables that the real tools wrote', { skip: withoutVectors(layout) }, () => {
  const tags = [
    'estargz',
    'estargz-chunk64k',
    'estargz-min512k',
    'estargz-ext',
    'estargz-ext-keepdiff',
    'stargz-zstdchunked',
    'skopeo-zstd-chunked',
  ]
  for (const tag of tags)
    test(tag, () => {
      const externals = tag.includes('-ext') ? layersOf(`${tag}-esgztoc`) : []
      for (const layer of layersOf(tag)) {
        const external = externals.find(({ annotations }) => annotations?.[tableLayerDigest] === layer.digest)
        const bytes = blob(layer.digest)
        const { index } = openLayer(layer, bytes, external && blob(external.digest))
        assert.ok(index?.bound === true)
        assert.deepEqual(
          index.files.map(({ entry }) => ({ ...entry, content: noContent })),
          entriesOf(bytes),
        )
        for (const file of index.files) contentOf(bytes, index, file)
        assert.equal(index.tarSplit !== undefined, tag === 'skopeo-zstd-chunked')
        if (index.tarSplit !== undefined) assert.ok(splitTar(bytes, index).equals(unpack(bytes)))
      }
    })
})

const mediaType = 'application/vnd.oci.image.layer.v1.tar'
const input = tar(file({ name: 'a' }, 'first'), file({ name: 'b', mtime: 7 }, 'second'))
const gzip = (bytes: Uint8Array): Uint8Array => gzipSync(bytes)
const zstd = (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes)

interface Sample {
  readonly layer: Descriptor
  readonly blob: Buffer
  readonly external?: Uint8Array | undefined
}

const samples = {
  estargz: async (): Promise<Sample> => sampleOf('gzip', await collect(writeEstargz([input], { compress: gzip }))),
  external: async (): Promise<Sample> =>
    sampleOf('gzip', await collect(writeEstargz([input], { compress: gzip, externalToc: true }))),
  stargzZstd: async (): Promise<Sample> =>
    sampleOf('zstd', await collect(writeStargzZstd([input], { compress: zstd }))),
  chunked: async (): Promise<Sample> => sampleOf('zstd', await collect(writeZstdChunked([input], { compress: zstd }))),
}

function sampleOf(coding: string, { blob, result }: Collected<TableFacts>): Sample {
  return { blob, layer: { mediaType: `${mediaType}+${coding}`, ...result }, external: result.index }
}

function withAnnotations(layer: Descriptor, changes: Readonly<Record<string, string | undefined>>): Descriptor {
  const annotations: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...layer.annotations, ...changes }))
    if (value !== undefined) annotations[name] = value
  return { ...layer, annotations }
}

function refuses({ layer, blob, external }: Sample, code: Code, found: RegExp, options?: OpenOptions): void {
  assert.throws(
    () => openLayer(layer, blob, external, options),
    (error) => hasCode(error, code) && found.test(error.message),
  )
}

/** An index, the descriptors of its blobs aside. */
function aside(index: ContentIndex | undefined): Partial<ContentIndex> {
  return { ...index, blobs: [] }
}

describe('what is asked for', () => {
  const formats = {
    estargz: 'estargz',
    external: 'estargz',
    stargzZstd: 'stargz-zstd',
    chunked: 'zstd-chunked',
  } as const
  for (const [name, make] of Object.entries(samples) as [keyof typeof samples, () => Promise<Sample>][])
    test(name, async () => {
      const { layer, blob, external } = await make()
      const { index, asked } = openLayer(layer, blob, external)
      assert.equal(index?.format, formats[name])
      const bytes = asked.reduce((sum, [start, end]) => sum + end - start, 0)
      assert.deepEqual([asked.length, bytes < blob.length], [name === 'estargz' ? 2 : 1, true])
      // Nothing binds the table: it is used on request only, and then found by the footer.
      const bare = { ...layer, annotations: {} }
      assert.deepEqual(openLayer(bare, blob), { index: undefined, asked: [] })
      const unbound = openLayer(bare, blob, external, { unbound: true }).index
      assert.deepEqual(aside(unbound), { ...aside(index), bound: false })
    })

  test('a layer without a table', () => {
    for (const coding of ['gzip', 'zstd'])
      for (const blob of [Buffer.alloc(0), Buffer.alloc(30), Buffer.alloc(5000)]) {
        const layer = { mediaType: `${mediaType}+${coding}`, digest: digestOf(blob), size: blob.length }
        assert.equal(openLayer(layer, blob).index, undefined)
        assert.equal(openLayer(layer, blob, undefined, { unbound: true }).index, undefined)
      }
  })

  test('the position of stargz’ zstd table is in its footer as well', async () => {
    const { layer, blob } = await samples.stargzZstd()
    const without = withAnnotations(layer, { [stargzZstdPosition]: undefined, [stargzZstdChecksum]: undefined })
    assert.deepEqual(aside(openLayer(without, blob).index), aside(openLayer(layer, blob).index))
  })

  test('eStargz before it had subfields', async () => {
    const { layer, blob } = await samples.estargz()
    const footer = blob.subarray(-51)
    const legacy = Buffer.concat([footer.subarray(0, 10), Buffer.from([22, 0]), footer.subarray(16)])
    const old = Buffer.concat([blob.subarray(0, -51), legacy])
    assert.equal(legacy.length, 47)
    const read = openLayer({ ...layer, size: old.length }, old).index
    assert.deepEqual(aside(read), aside(openLayer(layer, blob).index))
  })
})

describe('layers that lie about their table', () => {
  const wrong = digestOf('something else')
  const changes: [name: string, of: keyof typeof samples, Record<string, string | undefined>, Code, RegExp][] = [
    ['two formats', 'chunked', { [stargzTocDigest]: wrong }, 'BAD_FORMAT', /two formats/],
    ['two dialects', 'chunked', { [stargzZstdChecksum]: wrong }, 'BAD_FORMAT', /two formats/],
    ['another digest of the JSON', 'estargz', { [stargzTocDigest]: wrong }, 'DIGEST_MISMATCH', /table/],
    ['another digest, the table elsewhere', 'external', { [stargzTocDigest]: wrong }, 'DIGEST_MISMATCH', /table/],
    ['another digest, zstd', 'stargzZstd', { [stargzTocDigest]: wrong }, 'DIGEST_MISMATCH', /table/],
    [
      'another digest of the compressed table',
      'stargzZstd',
      { [stargzZstdChecksum]: wrong },
      'DIGEST_MISMATCH',
      /compressed/,
    ],
    ['another digest, zstd:chunked', 'chunked', { [chunkedChecksum]: wrong }, 'DIGEST_MISMATCH', /compressed/],
    ['a digest that is none', 'chunked', { [chunkedChecksum]: 'sha256:x' }, 'BAD_FORMAT', /no digest/],
    ['no numbers', 'chunked', { [chunkedPosition]: 'a:b:c:1' }, 'BAD_FORMAT', /the 4 numbers/],
    ['three numbers', 'chunked', { [chunkedPosition]: '1:2:3' }, 'BAD_FORMAT', /the 4 numbers/],
    ['numbers beyond 2^53', 'chunked', { [chunkedPosition]: '9999999999999999:2:3:1' }, 'BAD_FORMAT', /the 4 numbers/],
    ['another kind', 'chunked', { [chunkedPosition]: '1:2:3:2' }, 'BAD_FORMAT', /kind/],
    [
      'a place outside',
      'chunked',
      { [chunkedPosition]: '100000:2:3:1', [chunkedTarSplit]: undefined },
      'BAD_FORMAT',
      /would lie/,
    ],
    [
      'no bytes',
      'chunked',
      { [chunkedPosition]: '100:0:3:1', [chunkedTarSplit]: undefined },
      'BAD_FORMAT',
      /would lie/,
    ],
    ['a tar-split outside', 'chunked', { [chunkedTarSplit]: '100000:5:5' }, 'BAD_FORMAT', /tar-split would lie/],
    ['a tar-split before the table', 'chunked', { [chunkedTarSplit]: '1:5:5' }, 'BAD_FORMAT', /before the table/],
    ['no place for the tar-split', 'chunked', { [chunkedTarSplit]: undefined }, 'BAD_FORMAT', /no annotation places/],
    ['a huge table', 'chunked', { [chunkedPosition]: '100:5:999999999999:1' }, 'LIMIT', /maxTocBytes/],
    ['a huge tar-split', 'chunked', { [chunkedTarSplit]: '100:5:999999999999' }, 'LIMIT', /maxTocBytes/],
  ]
  for (const [name, of, annotations, code, found] of changes)
    test(name, async () => {
      const sample = await samples[of]()
      refuses({ ...sample, layer: withAnnotations(sample.layer, annotations) }, code, found)
    })

  test('a length that the table does not decode to', async () => {
    const sample = await samples.chunked()
    const [start, length, size] = sample.layer.annotations![chunkedPosition]!.split(':').map(Number)
    for (const other of [0, size! - 1, size! + 1]) {
      const annotations = { [chunkedPosition]: `${start}:${length}:${other}:1` }
      refuses({ ...sample, layer: withAnnotations(sample.layer, annotations) }, 'BAD_FORMAT', /does not decode to/)
    }
  })

  test('no footer', async () => {
    const { layer, blob } = await samples.estargz()
    refuses({ layer, blob: Buffer.alloc(blob.length) }, 'BAD_FORMAT', /footer of eStargz/)
    const zstdSample = await samples.stargzZstd()
    const bare = withAnnotations(zstdSample.layer, { [stargzZstdPosition]: undefined })
    refuses({ layer: bare, blob: Buffer.alloc(zstdSample.blob.length) }, 'BAD_FORMAT', /neither/)
  })

  test('a footer that points behind itself', async () => {
    const { layer, blob } = await samples.estargz()
    const lying = Buffer.concat([blob.subarray(0, -51), writeEstargzFooter(blob.length)])
    refuses({ layer, blob: lying }, 'BAD_FORMAT', /would lie/)
  })

  test('a bomb', async () => {
    const sample = await samples.external()
    const zeros = Buffer.alloc(2 ** 22)
    const bomb = gzipSync(tar(file({ name: 'stargz.index.json' }, zeros.subarray(0, 120_000))))
    refuses({ ...sample, external: bomb }, 'LIMIT', /limit/, { maxTocBytes: 100_000 })
    refuses({ ...sample, external: gzipSync(zeros) }, 'LIMIT', /inflates to more/, { maxTocBytes: 100_000 })
    refuses({ ...sample, external: Buffer.alloc(100_001) }, 'LIMIT', /maxTocBytes/, { maxTocBytes: 100_000 })
    const small = await samples.chunked()
    const packed = zstdCompressSync(zeros)
    const blob = Buffer.concat([Buffer.alloc(8), packed])
    const annotations = {
      [chunkedPosition]: `8:${packed.length}:5:1`,
      [chunkedTarSplit]: undefined,
      [chunkedChecksum]: digestOf(packed),
    }
    refuses(
      { layer: withAnnotations({ ...small.layer, size: blob.length }, annotations), blob },
      'BAD_FORMAT',
      /decode/,
    )
  })

  test('a tar that is no table', async () => {
    const sample = await samples.external()
    const cases: [Buffer, RegExp][] = [
      [tar(), /tar is empty/],
      [tar(file({ name: 'x' }, '{}')), /something but/],
      [tar(file({ name: 'stargz.index.json' }, '{}'), file({ name: 'x' }, '')), /something but/],
      [tar(header({ name: 'stargz.index.json', typeflag: '5' })), /something but/],
    ]
    for (const [bytes, found] of cases) refuses({ ...sample, external: gzipSync(bytes) }, 'BAD_FORMAT', found)
    const two = Buffer.concat([gzipSync(tar(file({ name: 'stargz.index.json' }, '{}'))), gzipSync('')])
    refuses({ ...sample, external: two }, 'BAD_FORMAT', /member of its own/)
  })
})

describe('a table that disagrees with its tar-split', () => {
  type Edit = (entries: Record<string, unknown>[]) => void
  const edits: [name: string, edit: Edit, found: RegExp][] = [
    ['another mode', (entries) => void (entries[0]!['mode'] = 0o4755), /about "a": its mode/],
    ['another owner', (entries) => void (entries[0]!['uid'] = 5), /about "a": its uid/],
    ['another time', (entries) => void (entries[1]!['modtime'] = undefined), /about "b": its mtime/],
    ['another name', (entries) => void (entries[1]!['name'] = 'c'), /about "b": its path/],
    ['another type', (entries) => entries.splice(0, 1, { type: 'dir', name: 'a', mode: 420 }), /about "a": its type/],
    ['an attribute', (entries) => void (entries[0]!['xattrs'] = { 'user.x': 'AQI=' }), /about "a": its xattrs/],
    ['another size', (entries) => void (entries[0]!['size'] = 6), /about "a": its size/],
    ['an entry less', (entries) => entries.splice(1, 1), /about "b": it is in the tar alone/],
    ['an entry more', (entries) => entries.push({ type: 'dir', name: 'c' }), /about "c": the tar does not have it/],
  ]
  for (const [name, edit, found] of edits)
    test(name, async () => refuses(repacked(await samples.chunked(), edit), 'BAD_FORMAT', found))

  test('a time of 0 is no time', async () => {
    const same = repacked(await samples.chunked(), (entries) => void (entries[0]!['modtime'] = undefined))
    assert.ok(openLayer(same.layer, same.blob).index?.tarSplit !== undefined)
  })

  test('a tar-split that is not the one the table means', async () => {
    const { layer, blob } = await samples.chunked()
    const { tarSplit } = parseZstdFooter(blob)!
    const other = Buffer.from(blob)
    other[tarSplit!.end - 1]! ^= 1
    refuses({ layer, blob: other }, 'DIGEST_MISMATCH', /tar-split/)
  })

  /** The same blob with another table in it, and nothing wrong but what it says. */
  function repacked({ layer, blob }: Sample, edit: Edit): Sample {
    const { toc, tarSplit } = parseZstdFooter(blob)!
    const table = JSON.parse(zstdDecompressSync(blob.subarray(toc.start, toc.end)).toString()) as {
      entries: Record<string, unknown>[]
    }
    edit(table.entries)
    const json = Buffer.from(JSON.stringify(table))
    const packed = zstdCompressSync(json)
    const split = blob.subarray(tarSplit!.start, tarSplit!.end)
    const head = Buffer.concat([blob.subarray(0, toc.start), packed])
    const annotations = {
      [chunkedChecksum]: digestOf(packed),
      [chunkedPosition]: `${toc.start}:${packed.length}:${json.length}:1`,
      [chunkedTarSplit]: `${head.length}:${split.length}:${tarSplit!.size}`,
    }
    const whole = Buffer.concat([head, split])
    return { layer: withAnnotations({ ...layer, size: whole.length }, annotations), blob: whole }
  }
})

test('lines of a tar-split that are none', async () => {
  const { layer, blob } = await samples.chunked()
  const { tarSplit } = parseZstdFooter(blob)!
  const { files } = openLayer(layer, blob).index!
  const lines = zstdDecompressSync(blob.subarray(tarSplit!.start, tarSplit!.end)).toString().trimEnd().split('\n')
  const read = (...changed: string[]): unknown => readTarSplit(Buffer.from(changed.join('\n')), files, defaultTocLimits)
  assert.deepEqual(read('', ...lines, ''), openLayer(layer, blob).index!.tarSplit)
  const spaced = lines.map((line) => JSON.stringify({ position: 5, ...(JSON.parse(line) as object) }))
  assert.deepEqual(read(...spaced), openLayer(layer, blob).index!.tarSplit)
  const [first, body, ...rest] = lines as [string, string, ...string[]]
  const cases: [string[], RegExp][] = [
    [['{', ...rest], /not JSON/],
    [['5', ...rest], /expected an object/],
    [['{"type":3}', ...lines], /neither framing nor a file/],
    [['{"type":1,"size":-1}', ...lines], /size is -1/],
    [['{"type":2,"payload":5}', ...lines], /payload is 5, expected a string/],
    [['{"type":2,"payload":"AQI"}'], /not base64/],
    [['{"type":2,"payload":"A!I="}'], /not base64/],
    [[body, ...lines], /no header announces/],
    [[first, body.replace('"size":5', '"size":6'), ...rest], /no header announces/],
    [[first, ...rest], /not followed by its content/],
    [[first, body, body, ...rest], /no header announces/],
    [[first], /not followed by its content/],
    [[first.replace('"payload":"', '"payload":"AAAA'), body, ...rest], /checksum/],
  ]
  for (const [changed, found] of cases)
    assert.throws(
      () => read(...changed),
      (error) => hasCode(error, 'BAD_FORMAT') && found.test(error.message),
      changed[0],
    )
})

test('damaged footers, tables and tar-splits', () => {
  fuzzFooter(1, 200)
  fuzzTables(1, 200)
  fuzzTarSplit(1, 200)
})
