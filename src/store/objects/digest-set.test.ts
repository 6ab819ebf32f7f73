import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { DigestSet } from './digest-set.ts'

const digest = fc.stringMatching(/^[0-9a-f]{64}$/)

test('holds what a Set of strings holds, and numbers it in the order it came', () => {
  fc.assert(
    fc.property(fc.array(digest), fc.array(digest), (added, others) => {
      const set = new DigestSet()
      const model = new Map<string, number>()
      for (const [i, hex] of [...added, ...added].entries()) {
        if (!model.has(hex)) model.set(hex, model.size)
        const number = i % 2 === 0 ? set.add(hex) : set.addBytes(Buffer.from(hex, 'hex'), 0)
        assert.equal(number, model.get(hex))
      }
      assert.equal(set.size, model.size)
      for (const hex of [...added, ...others]) {
        assert.equal(set.indexOf(hex), model.get(hex) ?? -1)
        assert.equal(set.indexOfBytes(Buffer.from(`00${hex}`, 'hex'), 1), model.get(hex) ?? -1)
      }
    }),
  )
})

test('grows, and does not slow down over digests that differ in their last bytes only', () => {
  const set = new DigestSet()
  const like = (n: number): string => n.toString(16).padStart(64, '0')
  for (let n = 0; n < 50_000; n++) assert.equal(set.add(like(n)), n)
  for (let n = 0; n < 50_000; n += 7) assert.equal(set.indexOf(like(n)), n)
  assert.equal(set.has(createHash('sha256').digest('hex')), false)
})
