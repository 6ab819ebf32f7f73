import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'

import { scratch } from '../../../test/fixtures/scratch.ts'
import { formatHolds, parseHolds } from './holds.ts'
import { LivingHolds } from './living-holds.ts'
import { openStore } from '../store.ts'

const digest = 'ab'.repeat(32)

test('holds read as they were written, up to where they are torn', () => {
  const lines = fc.array(fc.tuple(fc.constantFrom('o', 'l', 'i'), fc.stringMatching(/^[0-9a-f]{64}$/)))
  fc.assert(
    fc.property(lines, fc.nat({ max: 66 }), (holds, missing) => {
      const bytes = Buffer.concat(holds.map(([kind, name]) => formatHolds(kind as 'o', [name])))
      const expected = holds.map(([kind, name]) => ({ kind, digest: name }))
      assert.deepEqual([...parseHolds(bytes)], expected)
      const torn = bytes.subarray(0, bytes.length - missing)
      assert.deepEqual([...parseHolds(torn)], missing > 0 ? expected.slice(0, -1) : expected)
    }),
  )
})

test('a line that a full disk cut short hides none of those after it', () => {
  const cut = formatHolds('o', [digest]).subarray(0, 30)
  const bytes = Buffer.concat([cut, formatHolds('l', [digest])])
  assert.deepEqual([...parseHolds(bytes)], [{ kind: 'l', digest }])
})

test('holds of the living are read once each, in whatever pieces they come', async () => {
  using place = scratch('holds')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  const holds = new LivingHolds(store.root)
  const names = Array.from({ length: 3000 }, (_, n) => n.toString(16).padStart(64, '0'))
  const bytes = formatHolds('o', names)
  const found: string[] = []
  for (const [from, to] of [
    [0, 10],
    [10, 67],
    [67, 200],
    [200, 180_000],
    [180_000, bytes.length],
  ] as const) {
    appendFileSync(`${transaction.place('').folder}/holds`, bytes.subarray(from, to))
    found.push(...[...holds.read()].map(({ digest: name }) => name))
    assert.deepEqual([...holds.read()], [])
  }
  assert.deepEqual(found, names)
  await transaction[Symbol.asyncDispose]()
  assert.deepEqual([...holds.read()], [])
})
