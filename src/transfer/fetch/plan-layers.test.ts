import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { zstd } from '../../codecs/coding.ts'
import { digestOf, parseVerityDigest } from '../../digest.ts'
import { type Entry, noContent, noXattrs } from '../../formats/entry.ts'
import { noDigests } from '../../formats/content-digests.ts'
import type { ContentIndex, Extent, IndexedFile, Unit } from '../../formats/content-index.ts'
import { type Held, type PartialLayer, type PlanLimits, planLayers } from './plan-layers.ts'

const limits: PlanLimits = { layerBytes: 1e9, layerEntries: 1000 }
const nothing: Held = { files: new Map(), chunks: new Map() }
const object = parseVerityDigest('0'.repeat(64))
const KiB = 1024

function entry(path: string, size: number): Entry {
  const times = { mtime: 0, mtimeNsec: 0, major: 0, minor: 0 }
  const content = size === 0 ? noContent : { kind: 'unknown' as const, size }
  return { path, type: 'file', mode: 0o644, uid: 0, gid: 0, ...times, link: '', xattrs: noXattrs, content }
}

/** Chunks of 64 KiB but for the last, each in the unit of that index, or in none. */
function fileOf(path: string, size: number, units: readonly (number | undefined)[]): IndexedFile {
  const extents = units.map((unit, i): Extent => {
    const offset = i * 64 * KiB
    const length = Math.min(64 * KiB, size - offset)
    return { offset, length, digests: { sha256: digestOf(`${path} ${i}`) }, unit, skip: 0 }
  })
  return { entry: entry(path, size), digests: size === 0 ? noDigests : { sha256: digestOf(path) }, extents }
}

function layerOf(files: readonly IndexedFile[], units: readonly Unit[], blobSize = 1e9): PartialLayer {
  const blob = { mediaType: '', digest: digestOf('blob'), size: blobSize }
  const chunking = { kind: 'rollsum' } as const
  const index: ContentIndex = { format: 'x', scope: 'layer', bound: true, blobs: [blob], files, units, chunking }
  return { blob, index }
}

const unit = (start: number, end: number): Unit => ({ blob: 0, start, end, coding: zstd, digests: noDigests })

const unitsOf = (count: number, length = 10_000, gap = 1000): Unit[] =>
  Array.from({ length: count }, (_, i) => {
    const start = i * (length + gap)
    return unit(start, start + length)
  })

function planned(layers: readonly PartialLayer[], held: Held = nothing) {
  return planLayers(layers, held, limits).map((plan) => {
    assert.ok(!('refused' in plan), 'refused' in plan ? plan.refused : '')
    return plan
  })
}

function refusal(layer: PartialLayer, wanted = limits): string {
  const [plan] = planLayers([layer], nothing, wanted)
  assert.ok(plan !== undefined && 'refused' in plan)
  return plan.refused
}

describe('a plan', () => {
  test('fetches what the store does not hold, and nothing else', () => {
    const files = [fileOf('held', 1000, [0]), fileOf('missing', 100 * KiB, [1, 2]), fileOf('empty', 0, [])]
    const held: Held = { files: new Map([[digestOf('held'), { kind: 'object', object }]]), chunks: new Map() }
    const [plan] = planned([layerOf(files, unitsOf(3))], held)
    assert.deepEqual(
      plan?.files.map((file) => file?.kind),
      ['held', 'assemble', undefined],
    )
    assert.deepEqual(
      plan?.requests.map(({ start, end }) => [start, end]),
      [
        [11_000, 21_000],
        [22_000, 32_000],
      ],
    )
    const { heldFiles, heldBytes, missingFiles, missingBytes, fetchBytes, unitBytes } = plan!.count
    assert.deepEqual([heldFiles, heldBytes, missingFiles, missingBytes], [1, 1000, 1, 100 * KiB])
    assert.deepEqual([fetchBytes, unitBytes], [20_000, 20_000])
  })

  test('takes chunks from other objects, and holes from nowhere', () => {
    const file = fileOf('file', 250 * KiB, [0, undefined, 1, 2])
    const place = { object, offset: 5, length: 64 * KiB }
    const held: Held = { files: new Map(), chunks: new Map([[digestOf('file 2'), place]]) }
    const [plan] = planned([layerOf([file], unitsOf(3))], held)
    const pieces = plan?.files[0]?.kind === 'assemble' ? plan.files[0].pieces : []
    assert.deepEqual(
      pieces.map(({ origin }) => origin.counts),
      ['missingBytes', 'zeroBytes', 'chunkBytes', 'missingBytes'],
    )
    const { chunkBytes, zeroBytes, missingBytes } = plan!.count
    assert.deepEqual([chunkBytes, zeroBytes, missingBytes], [64 * KiB, 64 * KiB, 122 * KiB])
  })

  test('does not trust a chunk of another length', () => {
    const held: Held = {
      files: new Map(),
      chunks: new Map([[digestOf('file 0'), { object, offset: 0, length: 100 }]]),
    }
    const [plan] = planned([layerOf([fileOf('file', 1000, [0])], unitsOf(1))], held)
    assert.equal(plan?.count.missingBytes, 1000)
  })

  test('fetches a file once that is in the image twice', () => {
    const once = layerOf([fileOf('file', 1000, [0])], unitsOf(1))
    const [first, second] = planned([once, once])
    assert.deepEqual([first?.count.missingBytes, second?.count.missingBytes], [1000, 0])
    assert.deepEqual([first?.count.sameBytes, second?.count.sameBytes], [0, 1000])
    assert.deepEqual(second?.requests, [])
  })

  test('does not count on a layer below that cannot be had by parts', () => {
    const broken = layerOf([fileOf('file', 1000, [0]), fileOf('other', 1000, [7])], unitsOf(1))
    const [first, second] = planLayers([broken, layerOf([fileOf('file', 1000, [0])], unitsOf(1))], nothing, limits)
    assert.ok(first !== undefined && 'refused' in first)
    assert.ok(second !== undefined && !('refused' in second) && second.count.missingBytes === 1000)
  })

  test('goes through the blob once, whatever the order of the table', () => {
    const files = [fileOf('b', 1000, [1]), fileOf('a', 1000, [0])]
    const [plan] = planned([layerOf(files, unitsOf(2))])
    assert.deepEqual(plan?.order, [1, 0])
  })
})

/** Every other extent lies ten megabytes into its unit. */
function backAndForth(file: IndexedFile): IndexedFile {
  return { ...file, extents: file.extents.map((extent, i) => ({ ...extent, skip: i % 2 === 0 ? 10_000_000 : 0 })) }
}

describe('a table is not followed', () => {
  const chunk = (part: Partial<Extent>): Extent => ({
    offset: 0,
    length: 1000,
    digests: noDigests,
    unit: 0,
    skip: 0,
    ...part,
  })
  const one = (part: Partial<Extent>): IndexedFile => ({ ...fileOf('file', 1000, []), extents: [chunk(part)] })
  const cases: readonly [name: string, layer: PartialLayer, why: RegExp][] = [
    ['beyond its blob', layerOf([one({})], [unit(500, 1001)], 1000), /bytes that the blob does not have/],
    ['to bytes before the blob', layerOf([one({})], [unit(-1, 10)]), /bytes that the blob does not have/],
    ['to no bytes', layerOf([one({})], [unit(10, 10)]), /bytes that the blob does not have/],
    ['to a unit that is not there', layerOf([one({ unit: 7 })], [unit(0, 10)]), /bytes that the blob does not have/],
    ['with a chunk that is short', layerOf([one({ length: 999 })], unitsOf(1)), /do not add up/],
    ['with a chunk that begins late', layerOf([one({ offset: 1 })], unitsOf(1)), /do not add up/],
    [
      'with a chunk of nothing',
      layerOf([{ ...one({}), extents: [chunk({ length: 0 }), chunk({})] }], unitsOf(1)),
      /do not add up/,
    ],
    ['without chunks', layerOf([fileOf('file', 1000, [])], unitsOf(1)), /do not add up/],
    [
      'again and again to the beginning of one unit',
      layerOf(
        [
          backAndForth(
            fileOf(
              'file',
              100 * 64 * KiB,
              Array.from({ length: 100 }, () => 0),
            ),
          ),
        ],
        unitsOf(1),
      ),
      /too scattered/,
    ],
    ['to a petabyte', layerOf([one({ skip: 1e15 })], unitsOf(1)), /unfolds to more than 1000000000 bytes/],
    [
      'with a file of a petabyte',
      layerOf([{ ...fileOf('f', 1e15, []), extents: [chunk({ length: 1e15, unit: undefined })] }], []),
      /unfolds/,
    ],
  ]
  for (const [name, layer, why] of cases) test(name, () => assert.match(refusal(layer), why))

  test('with more entries than are wanted', () => {
    const files = Array.from({ length: 3 }, (_, i) => fileOf(`file${i}`, 0, []))
    assert.match(refusal(layerOf(files, []), { ...limits, layerEntries: 2 }), /more than 2 entries/)
  })

  test('but units may share a byte, where one ends within it', () => {
    const units = [unit(0, 100), unit(99, 200)]
    const [plan] = planned([layerOf([fileOf('a', 1000, [0]), fileOf('b', 1000, [1])], units)])
    assert.deepEqual(
      plan?.requests.map(({ start, end }) => [start, end]),
      [[0, 200]],
    )
  })
})
