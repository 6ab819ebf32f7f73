import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatHolds, parseHolds } from './holds.ts'

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
