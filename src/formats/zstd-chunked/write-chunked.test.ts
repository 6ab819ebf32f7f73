import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { type Collected, anyTar, collect, contentOf, openLayer, splitTar } from '../../../test/fixtures/table-layers.ts'
import { noise } from '../../../test/servers/registry.ts'
import { file, gnuLong, header, pax, tar } from '../../../test/fixtures/tar-bytes.ts'
import { entriesOfTar } from '../../../test/fixtures/tar-entries.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { chunkedPosition, chunkedTarSplit } from './chunked-annotations.ts'
import type { TableFacts } from '../toc-json/toc-written.ts'
import { writeZstdChunked } from './write-chunked.ts'

const mediaType = 'application/vnd.oci.image.layer.v1.tar+zstd'
const compress = (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes)

async function write(input: Uint8Array): Promise<Collected<TableFacts>> {
  return await collect(writeZstdChunked([input], { compress }))
}

async function check(input: Buffer): Promise<void> {
  const { blob, result } = await write(input)
  assert.ok(zstdDecompressSync(blob).equals(input))
  assert.deepEqual([result.diffId, result.tarSize], [digestOf(input), input.length])
  const { index, asked } = openLayer({ mediaType, ...result }, blob)
  assert.equal(asked.length, 1)
  assert.deepEqual(
    index!.files.map(({ entry }) => ({ ...entry, content: undefined })),
    entriesOfTar(input).map((entry) => ({ ...entry, content: undefined })),
  )
  for (const one of index!.files) contentOf(blob, index!, one)
  assert.ok(splitTar(blob, index!).equals(input))
  // By its footer alone, the table is the same and says that nothing binds it.
  const { digest, size } = result
  const unbound = openLayer({ mediaType, digest, size }, blob, undefined, { unbound: true }).index
  assert.deepEqual({ ...unbound, blobs: [] }, { ...index, bound: false, blobs: [] })
}

test('what is written can be read', async () => {
  await fc.assert(fc.asyncProperty(anyTar, check), { numRuns: 20 })
})

test('a chunk larger than a frame should be, headers in all places Go looks at', async () => {
  const long = `${'l'.repeat(200)}/${'m'.repeat(100)}`
  await check(
    tar(
      file({ name: 'large' }, Buffer.alloc(9 * 2 ** 20, 'no cut in here ')),
      pax({ path: 'p', linkpath: long, uname: 'ü', size: '3', mtime: '1.5', atime: '-1.5', ctime: '3' }),
      file({ size: 0 }, 'abc'),
      gnuLong('L', long),
      gnuLong('K', long),
      header({ name: 'short', typeflag: '2', link: 'short', dialect: 'gnu' }),
      header({
        name: 'times/',
        typeflag: '5',
        dialect: 'gnu',
        edit: (block) => void block.write('00000000777\0', 345),
      }),
      header({ name: 'old/', typeflag: '\0', dialect: 'v7' }),
    ),
  )
})

test('the blob does not depend on who compresses when', async () => {
  const input = tar(...Array.from({ length: 30 }, (_, i) => file({ name: `f${i}` }, noise(i * 9000, i))))
  const { blob, result } = await write(input)
  let jobs = 0
  const late = async (bytes: Uint8Array): Promise<Uint8Array> => {
    await new Promise((done) => setTimeout(done, jobs++ % 3))
    return compress(bytes)
  }
  const other = await collect(
    writeZstdChunked([input.subarray(0, 5000), input.subarray(5000)], { compress: late, ahead: 5 }),
  )
  assert.ok(other.blob.equals(blob))
  assert.deepEqual(other.result, result)
})

describe('what zstd:chunked cannot hold is refused', () => {
  const cases: [name: string, ...parts: Buffer[]][] = [
    ['a name twice', file({ name: 'a' }, 'x'), file({ name: './a' }, 'y')],
    ['a name that is no UTF-8', file({ name: 'a\xff' }, 'x')],
    ['a sparse file', pax({ 'GNU.sparse.map': '0,1', 'GNU.sparse.size': '5' }), file({ name: 'a' }, 'x')],
    ['a global header', pax({ comment: 'x' }, 'g'), file({ name: 'a' }, 'x')],
    ['an attribute that Go does not see', pax({ 'LIBARCHIVE.xattr.user.x': 'eA==' }), file({ name: 'a' }, 'x')],
    ['a time before the year 0', pax({ atime: '-99999999999' }), file({ name: 'a' }, 'x')],
  ]
  for (const [name, ...parts] of cases)
    test(name, async () => {
      await assert.rejects(write(tar(...parts)), (error) => hasCode(error, 'UNSUPPORTED'))
    })
})

describe('beside the real tool', { skip: withoutVectors('one-tree') }, () => {
  const manifest = 'one-tree/oci/blobs/sha256/8833634682361d44a8e006b62b9e004b99d95bdfc969d4c71ab66688a5549c07'
  for (const layer of [1, 2])
    test(`layer ${layer}: the same table but for offsets, the same tar-split`, async () => {
      const { layers } = JSON.parse(readFileSync(vectors(manifest)!, 'utf8')) as {
        layers: Collected<TableFacts>['result'][]
      }
      const theirs = layers[layer - 1]!
      const their = readFileSync(vectors(`one-tree/oci/blobs/sha256/${theirs.digest.slice(7)}`)!)
      const { blob, result } = await write(readFileSync(vectors(`one-tree/layer${layer}.tar`)!))
      assert.equal(
        withoutPlaces(part(blob, result, chunkedPosition)),
        withoutPlaces(part(their, theirs, chunkedPosition)),
      )
      assert.equal(part(blob, result, chunkedTarSplit), part(their, theirs, chunkedTarSplit))
    })
})

function part(blob: Buffer, { annotations }: TableFacts, name: string): string {
  const [start, length] = annotations[name]!.split(':').map(Number) as [number, number]
  return zstdDecompressSync(blob.subarray(start, start + length)).toString()
}

function withoutPlaces(json: string): string {
  return json.replaceAll(/"(?:offset|endOffset)":\d+,?|"tarSplitDigest":"[^"]*"/g, '')
}

test('frames may be empty, and several where one would do', async () => {
  const empty = zstdCompressSync(Buffer.alloc(0))
  const params = { [constants.ZSTD_c_checksumFlag]: 1 }
  const odd = (bytes: Uint8Array): Uint8Array =>
    Buffer.concat([zstdCompressSync(bytes.subarray(0, 1), { params }), empty, zstdCompressSync(bytes.subarray(1))])
  const input = tar(file({ name: 'a' }, noise(200_000, 1)), file({ name: 'b' }, Buffer.alloc(5000)))
  const { blob, result } = await collect(writeZstdChunked([input], { compress: odd }))
  const { index } = openLayer({ mediaType, ...result }, blob)
  assert.ok(splitTar(blob, index!).equals(input))
})
