import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { type Collected, anyTar, collect, contentOf, openLayer, unpack } from '../../../test/fixtures/table-layers.ts'
import { file, header, pax, tar, trailer } from '../../../test/fixtures/tar-bytes.ts'
import { entriesOfTar } from '../../../test/fixtures/tar-entries.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import { stargzTarSize, stargzTocDigest } from '../toc-json/toc-annotations.ts'
import { parseEstargzFooter } from './estargz-footer.ts'
import { unpackToc } from './unpack-toc.ts'
import { writeStargzZstd } from '../stargz-zstd/write-stargz-zstd.ts'
import type { TableFacts } from '../toc-json/toc-written.ts'
import { type EstargzOptions, writeEstargz } from './write-estargz.ts'

/** With zstd it is stargz' own dialect of zstd:chunked. */
interface Variant extends Omit<EstargzOptions, 'compress'> {
  readonly coding?: 'zstd'
}

async function write(
  input: Iterable<Uint8Array>,
  { coding, ...options }: Variant = {},
): Promise<Collected<TableFacts>> {
  return await collect(
    coding === 'zstd'
      ? writeStargzZstd(input, { compress: (bytes) => zstdCompressSync(bytes), ...options })
      : writeEstargz(input, { compress: (bytes) => gzipSync(bytes), ...options }),
  )
}

/** What is written is read as what went in, by the table and by the tar in the blob. */
async function check(input: Buffer, variant: Variant): Promise<void> {
  const { blob, result } = await write([input], variant)
  const mediaType = `application/vnd.oci.image.layer.v1.tar+${variant.coding ?? 'gzip'}`
  const { index } = openLayer({ mediaType, ...result }, blob, result.index)
  assert.ok(index?.bound === true)
  const wanted = entriesOfTar(input)
  assert.deepEqual(
    index.files.map(({ entry }) => ({ ...entry, content: undefined })),
    wanted.map((entry) => ({ ...entry, content: undefined })),
  )
  const contents = new Map<string, string>()
  entriesOfTar(input, (_, bytes) => void contents.set(digestOf(bytes), ''))
  for (const one of index.files)
    if (one.extents.length > 0) assert.ok(contents.has(digestOf(contentOf(blob, index, one))))
  const written = unpack(blob)
  assert.equal(digestOf(written), result.diffId)
  assert.equal(written.length, result.tarSize)
  assert.equal(result.annotations[stargzTarSize], String(written.length))
  if (variant.keepTar === true) assert.ok(written.equals(input))
  else
    assert.deepEqual(
      entriesOfTar(written).filter(({ path }) => !ownNames.includes(path)),
      wanted,
    )
}

const ownNames = ['.prefetch.landmark', '.no.prefetch.landmark', 'stargz.index.json']

const variants: Readonly<Record<string, Variant>> = {
  'as the reference does by default': {},
  'small chunks': { chunkSize: 1000 },
  'many chunks in a member': { chunkSize: 1000, minChunkSize: 5000 },
  'prefetched files': { prioritized: 2, minChunkSize: 3000 },
  'a table of its own': { externalToc: true },
  'the tar kept': { externalToc: true, keepTar: true, minChunkSize: 2000 },
  zstd: { coding: 'zstd', chunkSize: 5000 },
  'zstd, the tar kept': { coding: 'zstd', keepTar: true },
}

describe('what is written can be read', () => {
  for (const [name, variant] of Object.entries(variants))
    test(name, async () => {
      await fc.assert(
        fc.asyncProperty(anyTar, (input) => check(input, variant)),
        { numRuns: 8 },
      )
    })
})

test('the blob is the same for any pieces, any number of compressors, and whenever they finish', async () => {
  const input = tar(...Array.from({ length: 40 }, (_, i) => file({ name: `f${i}` }, `${i} `.repeat(i * 50))))
  const { blob, result } = await write([input])
  const pieces = Array.from({ length: Math.ceil(input.length / 777) }, (_, i) => input.subarray(i * 777, i * 777 + 777))
  let jobs = 0
  const late = async (bytes: Uint8Array): Promise<Uint8Array> => {
    await new Promise((done) => setTimeout(done, jobs++ % 3))
    return gzipSync(bytes)
  }
  for (const ahead of [1, 7]) {
    const other = await collect(writeEstargz(pieces, { compress: late, ahead }))
    assert.ok(other.blob.equals(blob))
    assert.deepEqual(other.result, result)
  }
})

test('the table, as the reference prints it', async () => {
  const input = tar(
    header({ name: './', typeflag: '5', mode: 0o755, edit: (block) => void block.write('root', 265) }),
    file({ name: 'a<b', mode: 0o104755, uid: 7, mtime: 1e9, edit: (block) => void block.write('root', 265) }, '12345'),
    header({ name: 'hard', typeflag: '1', link: './a<b', size: 5, mtime: 1 }),
    header({ name: 'null', typeflag: '3', mode: 0o666, devmajor: 1, devminor: 3 }),
  )
  const { blob, result } = await write([input], { chunkSize: 2, minChunkSize: 1600 })
  const { tocOffset, length } = parseEstargzFooter(blob)!
  const json = Buffer.from(unpackToc(blob.subarray(tocOffset, blob.length - length), 1e6))
  assert.equal(digestOf(json), result.annotations[stargzTocDigest])
  const landmark = digestOf(Buffer.of(15))
  const [one, two, five] = ['12', '34', '5'].map((text) => digestOf(text))
  const parsed = JSON.parse(json.toString()) as { entries: { offset?: number }[] }
  const at = parsed.entries[0]!.offset!
  assert.equal(
    json.toString(),
    `{
	"version": 1,
	"entries": [
		{
			"name": ".no.prefetch.landmark",
			"type": "reg",
			"size": 1,
			"offset": ${at},
			"digest": "${landmark}",
			"chunkDigest": "${landmark}"
		},
		{
			"name": "./",
			"type": "dir",
			"mode": 493,
			"userName": "root"
		},
		{
			"name": "a\\u003cb",
			"type": "reg",
			"size": 5,
			"modtime": "2001-09-09T01:46:40Z",
			"mode": 35309,
			"uid": 7,
			"userName": "root",
			"offset": ${at},
			"innerOffset": 1536,
			"digest": "${digestOf('12345')}",
			"chunkSize": 2,
			"chunkDigest": "${one}"
		},
		{
			"name": "a\\u003cb",
			"type": "chunk",
			"offset": ${at},
			"innerOffset": 1538,
			"chunkOffset": 2,
			"chunkSize": 2,
			"chunkDigest": "${two}"
		},
		{
			"name": "a\\u003cb",
			"type": "chunk",
			"offset": ${at},
			"innerOffset": 1540,
			"chunkOffset": 4,
			"chunkDigest": "${five}"
		},
		{
			"name": "hard",
			"type": "hardlink",
			"modtime": "1970-01-01T00:00:01Z",
			"linkName": "./a\\u003cb",
			"mode": 420
		},
		{
			"name": "null",
			"type": "char",
			"mode": 438,
			"devMajor": 1,
			"devMinor": 3
		}
	]
}`,
  )
})

test('a layer that was eStargz before gets a new landmark and table', async () => {
  const input = tar(file({ name: 'a' }, 'content'), file({ name: 'b' }, 'more'))
  const { blob, result } = await write([input])
  const again = await write([gunzipSync(blob)])
  assert.ok(again.blob.equals(blob))
  assert.deepEqual(again.result, result)
})

describe('what eStargz cannot hold is refused', () => {
  const cases: [name: string, parts: Buffer[], options?: Variant][] = [
    ['a fraction of a second', [pax({ mtime: '5.25' }), file({ name: 'a' }, 'x')]],
    ['a name twice', [file({ name: 'a' }, 'x'), file({ name: './a' }, 'y')]],
    ['a name that is no UTF-8', [file({ name: 'a\xff' }, 'x')]],
    ['a sparse file', [pax({ 'GNU.sparse.map': '0,1', 'GNU.sparse.size': '5' }), file({ name: 'a' }, 'x')]],
    ['a time before the year 0', [pax({ mtime: '-99999999999' }), file({ name: 'a' }, 'x')]],
    ['an attribute that Go does not see', [pax({ 'LIBARCHIVE.xattr.user.x': 'eA==' }), file({ name: 'a' }, 'x')]],
    ['a file named like the table', [file({ name: 'stargz.index.json' }, '{}')]],
    ['a file named like a landmark', [file({ name: '.prefetch.landmark' }, 'xx')]],
    ['a landmark, the tar kept', [file({ name: '.prefetch.landmark' }, '\x0f')], { externalToc: true, keepTar: true }],
  ]
  for (const [name, parts, options] of cases)
    test(name, async () => await refuses(tar(...parts), 'UNSUPPORTED', options))
})

test('options that make no sense', async () => {
  const bad: Variant[] = [
    { chunkSize: 0 },
    { chunkSize: 1.5 },
    { minChunkSize: -1 },
    { keepTar: true },
    { coding: 'zstd', keepTar: true, prioritized: 1 },
    { coding: 'zstd', keepTar: true, onLoss: () => {} },
  ]
  for (const options of bad) await refuses(trailer, 'USAGE', options)
})

async function refuses(input: Buffer, code: Code, options: Variant = {}): Promise<void> {
  await assert.rejects(write([input], options), (error) => hasCode(error, code))
}

test('a compressor that fails', async () => {
  const compress = (): Promise<Uint8Array> => Promise.reject(new Error('no memory'))
  await assert.rejects(collect(writeEstargz([tar(file({ name: 'a' }, 'x'))], { compress })), /no memory/)
})

describe('beside the real tool', { skip: withoutVectors('one-tree') }, () => {
  const tags = [
    ['58988d7a5a62386008068c775b5f108087ad29e5809b4193275a88251870367b', {}],
    ['41c6219879ec7f89a9a53e803c8d1a97e23cd73ba5e0c3f49818cdb67dc441b7', { chunkSize: 65_536 }],
  ] as const
  for (const [blobHex, options] of tags)
    test(`the same table but for offsets and owners' names: ${JSON.stringify(options)}`, async () => {
      const real = readFileSync(vectors(`one-tree/oci/blobs/sha256/${blobHex}`)!)
      const { blob } = await write([readFileSync(vectors('one-tree/layer2.tar')!)], options)
      const [theirs, ours] = [real, blob].map(tableText)
      assert.equal(ours, theirs)
    })
})

/** Their builder writes names again in each of its parallel parts. */
function tableText(blob: Buffer): string {
  const { tocOffset, length } = parseEstargzFooter(blob)!
  const json = Buffer.from(unpackToc(blob.subarray(tocOffset, blob.length - length), 1e7)).toString()
  return json.replace(/\t*"(?:offset|userName|groupName)": [^\n]*\n/g, '').replaceAll(/,(?=\n\t*\})/g, '')
}
