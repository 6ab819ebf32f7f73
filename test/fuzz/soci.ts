import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { digestOf } from '../../src/digest.ts'
import { hasCode } from '../../src/error.ts'
import { writeGzipCheckpoints, writeUncompressedCheckpoints } from '../../src/formats/soci/checkpoints.ts'
import { readSociLayer } from '../../src/formats/soci/read-soci.ts'
import { writeZtoc } from '../../src/formats/soci/ztoc.ts'
import { defaultTocLimits } from '../../src/formats/toc-json/toc-json.ts'
import type { Decoder } from '../../src/codecs/codec.ts'
import { GzipIndexer } from '../../src/codecs/gzip-indexer.ts'
import { GzipSpanDecoder } from '../../src/codecs/gzip-span-decoder.ts'
import { type Damage, damage, hurt } from './damage.ts'

const layer = { mediaType: 'application/octet-stream', digest: digestOf('layer'), size: 9000 }

/** Damaged zTOCs give a layer whose parts lie within it, or an error. */
export function fuzzZtoc(seed: number, rounds: number): void {
  const gzip = fc.boolean()
  fc.assert(fc.property(gzip, fc.array(damage, { maxLength: 3 }), checkZtoc), { seed, numRuns: rounds })
}

function checkZtoc(gzip: boolean, wounds: readonly Damage[]): void {
  const bytes = hurt(Buffer.from(gzip ? gzipped : stored), wounds)
  try {
    const { files, units } = readSociLayer(bytes, layer, { bound: true }, defaultTocLimits)
    for (const { start, end } of units) if (start < 0 || end > layer.size) throw new Error(`span ${start} to ${end}`)
    for (const { extents } of files)
      for (const { unit } of extents) if (unit === undefined || unit >= units.length) throw new Error(`span ${unit}`)
  } catch (error) {
    if (!expected(error)) throw error
  }
}

const file = {
  type: 'reg',
  link: '',
  mode: 0o644,
  uid: 1,
  gid: 2,
  uname: 'u',
  gname: 'g',
  mtime: '2023-11-14T22:13:20Z',
  major: 0,
  minor: 0,
}
const files = Array.from({ length: 12 }, (_, i) => ({
  ...file,
  name: `dir/file-${i}`,
  offset: 512 + i * 2048,
  size: 1500,
  records: new Map([['SCHILY.xattr.user.a', 'b']]),
}))
const window = Buffer.alloc(32_768)
const table = {
  buildTool: 'fuzz',
  blobSize: layer.size,
  tarSize: 32_768,
  files,
  spanDigests: [digestOf('a'), digestOf('b')],
}
const gzipped = writeZtoc({
  ...table,
  algorithm: 'gzip',
  checkpoints: writeGzipCheckpoints({
    spanSize: 4096,
    list: [
      { in: 10, out: 0, bits: 0, window },
      { in: 5000, out: 8000, bits: 4, window },
    ],
  }),
})
const stored = writeZtoc({
  ...table,
  algorithm: 'uncompressed',
  checkpoints: writeUncompressedCheckpoints(6000, layer.size),
})

/** Whatever is decompressed from wherever, it ends. */
export function fuzzGzipSpans(seed: number, rounds: number): void {
  const bits = fc.nat(7)
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bits, fc.array(damage, { maxLength: 2 }), checkSpans), {
    seed,
    numRuns: rounds,
  })
}

function checkSpans(data: Uint8Array, bits: number, wounds: readonly Damage[]): void {
  const bytes = hurt(Buffer.concat([gzipSync(data), gzipSync(data)]), wounds)
  run(new GzipIndexer(50), bytes)
  run(new GzipSpanDecoder(bits, window), bytes)
}

function run(decoder: Decoder, bytes: Buffer): void {
  using _ = decoder
  const output = new Uint8Array(4096)
  try {
    for (let at = 0, steps = 0; at < bytes.length; steps++) {
      const { consumed, produced } = decoder.step(bytes.subarray(at), output)
      if (consumed === 0 && produced === 0) return
      if (steps > 10_000) throw new Error('it does not end')
      at += consumed
    }
  } catch (error) {
    if (!expected(error)) throw error
  }
}

function expected(error: unknown): boolean {
  return hasCode(error, 'BAD_FORMAT') || hasCode(error, 'LIMIT') || hasCode(error, 'UNSUPPORTED')
}
