import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { objectPath } from '../../store/store-layout.ts'
import { openStore } from '../../store/store.ts'
import { FileIntake, Scratch } from './file-intake.ts'

const MiB = 1024 * 1024

/** Bodies as a tar gives them: which parts are stored, in pieces of any size, settled now and then. */
const bodies = fc.array(
  fc.record({
    ranges: fc.array(fc.tuple(fc.nat(70_000), fc.integer({ min: 1, max: 70_000 })), { maxLength: 4 }),
    sparse: fc.boolean(),
    tail: fc.nat(9000),
    fill: fc.nat(255),
  }),
  { minLength: 1, maxLength: 6 },
)

test('objects hold exactly the bytes of their files', async () => {
  using place = scratch('intake')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  const scratchBuffers = new Scratch()
  await fc.assert(
    fc.asyncProperty(bodies, fc.integer({ min: 1000, max: 100_000 }), async (files, piece) => {
      const intake = new FileIntake(transaction.staging(`lane${Math.random()}`), scratchBuffers)
      for (const { ranges, sparse, tail, fill } of files) {
        const { expected, stored, places } = layOut(ranges, sparse, tail, fill)
        intake.begin({ stored: stored.length, size: expected.length, ranges: sparse ? places : undefined })
        for (let at = 0; at < stored.length; at += piece) {
          intake.data(stored.subarray(at, at + piece))
          if (at + piece < stored.length) intake.settle()
        }
        const content = intake.end()
        intake.settle()
        if (content.kind === 'empty') assert.equal(expected.length, 0)
        else if (content.kind === 'inline') assert.deepEqual(Buffer.from(content.bytes), expected)
        else {
          assert.ok(content.kind === 'object')
          assert.equal(content.digest, verityDigest(expected))
          assert.ok(readFileSync(objectPath(transaction.place('').folder, content.digest)).equals(expected))
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('a file too large for memory goes to disk as it comes, holes as holes', async () => {
  using place = scratch('intake')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  const intake = new FileIntake(transaction.staging('lane'), new Scratch())
  const size = 20 * MiB
  const expected = Buffer.alloc(size)
  expected.fill('data', 5 * MiB, 6 * MiB)
  intake.begin({ stored: MiB, size, ranges: [[5 * MiB, MiB]] })
  intake.data(expected.subarray(5 * MiB, 6 * MiB))
  const content = intake.end()
  assert.ok(content.kind === 'object')
  assert.equal(content.digest, verityDigest(expected))
  const path = objectPath(transaction.place('').folder, content.digest)
  assert.ok(readFileSync(path).equals(expected))
  assert.ok(statSync(path).blocks * 512 < 2 * MiB)
  assert.deepEqual([intake.newObjects, intake.newBytes], [1, size])
})

interface LaidOut {
  readonly expected: Buffer
  readonly stored: Buffer
  readonly places: [offset: number, length: number][]
}

/** `gaps` become stored ranges with holes before them, or, when not sparse, plain bytes. */
function layOut(
  gaps: readonly (readonly [gap: number, length: number])[],
  sparse: boolean,
  tail: number,
  fill: number,
): LaidOut {
  const places: [number, number][] = []
  let end = 0
  for (const [gap, length] of gaps) {
    places.push([end + (sparse ? gap : 0), length])
    end += (sparse ? gap : 0) + length
  }
  const expected = Buffer.alloc(end + (sparse ? tail : 0))
  const stored = Buffer.concat(places.map(([, length], i) => Buffer.alloc(length, fill + i + 1)))
  let taken = 0
  for (const [offset, length] of places) {
    stored.copy(expected, offset, taken, taken + length)
    taken += length
  }
  return { expected, stored, places }
}

test('zeros in a large file are not written, wherever the pieces end', async () => {
  using place = scratch('intake')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  const expected = Buffer.alloc(20 * MiB)
  expected.fill('data', 5 * MiB + 7, 6 * MiB)
  for (const piece of [MiB, 300_001, 70_000]) {
    expected.write(`${piece}`)
    const intake = new FileIntake(transaction.staging(`lane${piece}`), new Scratch())
    intake.begin({ stored: expected.length, size: expected.length, ranges: undefined })
    for (let at = 0; at < expected.length; at += piece) intake.data(expected.subarray(at, at + piece))
    const content = intake.end()
    assert.ok(content.kind === 'object')
    assert.equal(content.digest, verityDigest(expected))
    const path = objectPath(transaction.place('').folder, content.digest)
    assert.ok(readFileSync(path).equals(expected))
    const written = statSync(path).blocks * 512
    // What is left at the end of a piece, less than a hole, is written.
    assert.ok(written < (piece >= 300_001 ? 8 : 12) * MiB, `${written} bytes in pieces of ${piece}`)
  }
})
