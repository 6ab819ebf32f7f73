import assert from 'node:assert/strict'
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { digestOf } from '../../src/digest.ts'
import { type Code, OnefoldError } from '../../src/error.ts'
import { sizeOf } from '../../src/formats/entry.ts'
import { parseEstargzFooter, writeEstargzFooter } from '../../src/formats/estargz/estargz-footer.ts'
import { unpackToc } from '../../src/formats/estargz/unpack-toc.ts'
import { writeEstargz } from '../../src/formats/estargz/write-estargz.ts'
import type { Descriptor } from '../../src/formats/oci/descriptor.ts'
import { parseZstdFooter, writeZstdFooter } from '../../src/formats/toc-json/zstd-footer.ts'
import { defaultTocLimits, readTocJson } from '../../src/formats/toc-json/toc-json.ts'
import { readStargzTable } from '../../src/formats/toc-json/stargz-table.ts'
import { canProve } from '../../src/formats/content-digests.ts'
import type { ContentIndex, IndexedFile } from '../../src/formats/content-index.ts'
import { readChunkedTable } from '../../src/formats/zstd-chunked/read-chunked.ts'
import { readTarSplit } from '../../src/formats/zstd-chunked/read-tar-split.ts'
import { writeStargzZstd } from '../../src/formats/stargz-zstd/write-stargz-zstd.ts'
import { writeZstdChunked } from '../../src/formats/zstd-chunked/write-chunked.ts'
import { collect, openLayer } from '../fixtures/table-layers.ts'
import { noise } from '../servers/registry.ts'
import { file, header, pax, tar } from '../fixtures/tar-bytes.ts'
import { damage, hurt } from './damage.ts'

const layer: Descriptor = { mediaType: 'layer', digest: digestOf('layer'), size: 2e6 }
const refusals: readonly Code[] = ['BAD_FORMAT', 'LIMIT', 'UNSUPPORTED', 'DIGEST_MISMATCH']

/** The value, or undefined when the bytes were refused as they should be. */
function accepted<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof OnefoldError && refusals.includes(error.code)) return undefined
    throw error
  }
}

/** What is accepted keeps every promise of its type. */
function checkLayer({ files, units }: ContentIndex, blobSize: number): void {
  let end = 0
  for (const unit of units) {
    assert.ok(unit.start >= end && unit.start < unit.end && unit.end <= blobSize)
    end = unit.end
  }
  const names = new Set(files.map(({ entry }) => entry.path))
  assert.equal(names.size, files.length)
  for (const one of files) checkFile(one, units.length)
}

function checkFile({ entry, extents, digests }: IndexedFile, units: number): void {
  let offset = 0
  for (const chunk of extents) {
    assert.equal(chunk.offset, offset)
    assert.ok(chunk.length > 0 && chunk.skip >= 0 && (chunk.unit ?? 0) < units)
    assert.ok(canProve(chunk.digests) || canProve(digests))
    offset += chunk.length
  }
  assert.equal(offset, sizeOf(entry.content))
}

const input = tar(
  header({ name: 'd/', typeflag: '5', mtime: 5 }),
  pax({ 'SCHILY.xattr.user.x': 'value', path: 'd/\xc3\xbc' }),
  file({ name: 'overridden' }, 'some text'),
  file({ name: 'd/large' }, Buffer.concat([noise(200_000, 3), Buffer.alloc(3000), noise(100_000, 4)])),
  file({ name: 'empty' }, ''),
  header({ name: 'hard', typeflag: '1', link: 'd/large' }),
  header({ name: 'null', typeflag: '3', devmajor: 1, devminor: 3 }),
)
const small = tar(
  header({ name: 'd/', typeflag: '5', mtime: 5 }),
  pax({ mtime: '5.25', 'SCHILY.xattr.user.\xff': 'value' }),
  file({ name: 'd/\xff' }, 'some text'),
  pax({ 'GNU.sparse.map': '3,4,90,1', 'GNU.sparse.size': '700' }),
  file({ name: 'sparse' }, 'abcde'),
  header({ name: 'hard', typeflag: '1', link: 'd/\xff' }),
)
const gzip = (bytes: Uint8Array): Uint8Array => gzipSync(bytes)
const zstd = (bytes: Uint8Array): Uint8Array => zstdCompressSync(bytes)
const mediaType = 'application/vnd.oci.image.layer.v1.tar'
const estargz = await collect(writeEstargz([input], { compress: gzip, chunkSize: 65_536, minChunkSize: 100_000 }))
const stargzZstd = await collect(writeStargzZstd([input], { compress: zstd }))
const chunked = await collect(writeZstdChunked([input], { compress: zstd }))
const samples: readonly { readonly blob: Buffer; readonly layer: Descriptor }[] = [
  { blob: estargz.blob, layer: { mediaType: `${mediaType}+gzip`, ...estargz.result } },
  { blob: stargzZstd.blob, layer: { mediaType: `${mediaType}+zstd`, ...stargzZstd.result } },
  { blob: chunked.blob, layer: { mediaType: `${mediaType}+zstd`, ...chunked.result } },
]

/** A footer is read as what it was written from, or damaged as one that says so, or as none. */
export function fuzzFooter(seed: number, rounds: number): void {
  const number = fc.oneof(fc.nat(), fc.maxSafeNat())
  const position = fc
    .tuple(fc.nat(2 ** 40), fc.nat(2 ** 40), number)
    .map(([start, n, size]) => ({ start, end: start + n, size }))
  const property = fc.property(
    fc.option(number, { nil: undefined }),
    position,
    fc.option(position, { nil: undefined }),
    fc.array(damage, { maxLength: 2 }),
    (tocOffset, toc, tarSplit, wounds) => {
      const gzipFooter = writeEstargzFooter(tocOffset)
      assert.deepEqual(parseEstargzFooter(gzipFooter), { tocOffset, length: gzipFooter.length })
      parseEstargzFooter(hurt(gzipFooter, wounds))
      const zstdFooter = writeZstdFooter({ toc, ...(tarSplit && { tarSplit }) })
      const dialect = tarSplit === undefined ? 'stargz' : 'containers'
      assert.deepEqual(parseZstdFooter(zstdFooter), { dialect, toc, ...(tarSplit && { tarSplit }) })
      parseZstdFooter(hurt(zstdFooter, wounds))
    },
  )
  fc.assert(property, { seed, numRuns: rounds })
}

/** Blobs that are damaged where nothing binds them: footers, tables, what is around them. */
export function fuzzTables(seed: number, rounds: number): void {
  const wounds = fc.array(damage, { minLength: 1, maxLength: 3 })
  const property = fc.property(fc.constantFrom(...samples), wounds, fc.boolean(), ({ blob, layer }, hits, atEnd) => {
    // What is in front of the table is not looked at.
    const from = atEnd ? blob.length - 60 : Math.floor(blob.length * 0.98)
    const bytes = Buffer.concat([blob.subarray(0, from), hurt(blob.subarray(from), hits)])
    const { mediaType, digest } = layer
    const damaged = { mediaType, digest, size: bytes.length }
    const toc = accepted(() => openLayer(damaged, bytes, undefined, { unbound: true }).index)
    if (toc !== undefined) checkLayer(toc, bytes.length)
    const bound = { ...layer, size: bytes.length }
    const same = accepted(() => openLayer(bound, bytes).index)
    if (same !== undefined) assert.deepEqual({ ...same, blobs: [] }, { ...openLayer(layer, blob).index, blobs: [] })
  })
  fc.assert(property, { seed, numRuns: rounds })
}

const packed = estargz.blob.subarray(parseEstargzFooter(estargz.blob)!.tocOffset, -51)
const stargzJson = Buffer.from(unpackToc(packed, 1e6))

/** Values that tables are not made of, in places where others are. */
const odd = fc.constantFrom<unknown>(
  -1,
  0.5,
  2 ** 53,
  1e300,
  '',
  '..',
  'd/\ufffd',
  null,
  [],
  {},
  'chunk',
  'reg',
  0,
  1,
  300_000,
)
const keys = [
  'name',
  'type',
  'size',
  'offset',
  'innerOffset',
  'endOffset',
  'chunkOffset',
  'chunkSize',
  'chunkDigest',
  'digest',
  'chunkType',
  'mode',
  'uid',
  'modtime',
  'linkName',
  'devMajor',
  'xattrs',
]
const edit = fc.tuple(fc.nat(12), fc.constantFrom(...keys), odd)

/** Tables that lie: wrong values, entries in another order, damage in the text. */
export function fuzzTocJson(seed: number, rounds: number): void {
  const json = [stargzJson, chunkedPart(0)]
  const property = fc.property(
    fc.constantFrom(0, 1),
    fc.array(edit, { maxLength: 3 }),
    fc.array(damage, { maxLength: 1 }),
    (which, edits, wounds) => {
      const document = JSON.parse(json[which]!.toString()) as { entries: Record<string, unknown>[] }
      for (const [at, key, value] of edits) document.entries[at % document.entries.length]![key] = value
      const bytes = hurt(Buffer.from(JSON.stringify(document)), wounds)
      const limits = { ...defaultTocLimits, maxEntries: 100 }
      const toc = accepted(() =>
        which === 0
          ? readStargzTable(
              readTocJson(bytes, limits),
              { format: 'estargz', layer, bound: true, payloadEnd: 1e6, coding: 'gzip' },
              limits,
            )
          : readChunkedTable(readTocJson(bytes, limits), { layer, bound: true, payloadEnd: 1e6 }, limits),
      )
      if (toc !== undefined) checkLayer(toc, 1e6)
    },
  )
  fc.assert(property, { seed, numRuns: rounds })
}

/** A damaged tar-split is refused, or gives a tar with the entries of the table. */
export function fuzzTarSplit(seed: number, rounds: number): void {
  const json = chunkedPart(1)
  const { files } = openLayer(samples[2]!.layer, samples[2]!.blob).index!
  const property = fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (wounds) => {
    const bytes = hurt(json, wounds)
    const split = accepted(() => readTarSplit(bytes, files, defaultTocLimits))
    if (split === undefined) return
    const bodies = files.flatMap(({ entry }, i) => (sizeOf(entry.content) > 0 ? [i] : []))
    assert.deepEqual(
      split.bodies.map((body) => body.file),
      bodies,
    )
    const content = files.reduce((sum, { entry }) => sum + sizeOf(entry.content), 0)
    assert.equal(split.tarSize, split.framing.length + content)
  })
  fc.assert(property, { seed, numRuns: rounds })
}

/** A damaged tar is refused, or written with losses, and then its table can be read and has as many entries. */
export async function fuzzLosses(seed: number, rounds: number): Promise<void> {
  const property = fc.asyncProperty(
    fc.array(damage, { minLength: 1, maxLength: 3 }),
    fc.boolean(),
    async (hits, isGzip) => {
      const damaged = hurt(small, hits)
      const onLoss = (): void => {}
      const writer = isGzip
        ? writeEstargz([damaged], { compress: gzip, onLoss })
        : writeZstdChunked([damaged], { compress: zstd, onLoss })
      const written = await collect(writer).catch((error: unknown) => {
        if (error instanceof OnefoldError && refusals.includes(error.code)) return undefined
        throw error
      })
      if (written === undefined) return
      const { blob, result } = written
      const { index: toc } = openLayer({ mediaType: `${mediaType}+${isGzip ? 'gzip' : 'zstd'}`, ...result }, blob)
      assert.ok(toc !== undefined)
      checkLayer(toc, blob.length)
    },
  )
  await fc.assert(property, { seed, numRuns: rounds })
}

/** 0: the JSON of the table, 1: of the tar-split. */
function chunkedPart(which: 0 | 1): Buffer {
  const { toc, tarSplit } = parseZstdFooter(chunked.blob)!
  const { start, end } = which === 0 ? toc : tarSplit!
  return zstdDecompressSync(chunked.blob.subarray(start, end))
}
