import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { hasCode } from '../../error.ts'
import { checkSum, hasSum, summedJson } from './summed-json.ts'

const bytes = Buffer.from(summedJson({ name: 'a', list: [1, { b: 'ü' }] }))

test('JSON with a sum is JSON, and always the same bytes', () => {
  assert.deepEqual(JSON.parse(bytes.toString()), {
    name: 'a',
    list: [1, { b: 'ü' }],
    sum: 'da378b1012be3981de99d035e6bfe360a33083485231bdf96563bd47e089b57b',
  })
})

test('whatever byte is changed, the sum is wrong or gone', () => {
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bad = Buffer.from(bytes)
      bad[at]! ^= flip
      if (!hasSum(bad)) return
      assert.throws(
        () => checkSum(bad, 'it'),
        (error) => hasCode(error, 'CORRUPT'),
      )
    }),
  )
  assert.equal(hasSum(bytes.subarray(0, -1)), false)
  assert.doesNotThrow(() => checkSum(bytes, 'it'))
})
