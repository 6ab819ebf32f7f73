import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ByteSpan } from '../../content/unit-walk.ts'
import { requestsFor, spanBytes } from './join-ranges.ts'

const MiB = 2 ** 20
const span = (start: number, end: number): ByteSpan => ({ start, end })

test('neighbours within a head of HTTP are one request', () => {
  assert.deepEqual(requestsFor([span(0, 100), span(600, 700), span(1300, 1400)]), [span(0, 700), span(1300, 1400)])
})

test('gaps are read over, the smallest first, up to a fiftieth of what is wanted', () => {
  const spans = [span(0, 100_000), span(101_000, 200_000), span(202_500, 300_000), span(310_000, 400_000)]
  assert.deepEqual(requestsFor(spans), [span(0, 300_000), span(310_000, 400_000)])
})

test('gaps of one length are all read over or none', () => {
  const spans = Array.from({ length: 10 }, (_, i) => span(i * 20_000, i * 20_000 + 18_000))
  assert.deepEqual(requestsFor(spans), spans)
})

test('what is long is cut into equal parts', () => {
  assert.deepEqual(requestsFor([span(10, 10 + 9 * MiB)]), [
    span(10, 10 + 3 * MiB),
    span(10 + 3 * MiB, 10 + 6 * MiB),
    span(10 + 6 * MiB, 10 + 9 * MiB),
  ])
})

test('spans that touch, overlap or are none', () => {
  assert.deepEqual(requestsFor([span(0, 10), span(9, 20), span(20, 30)]), [span(0, 30)])
  assert.deepEqual(requestsFor([]), [])
})

test('requests hold every wanted byte once, in order, and little else', () => {
  const spans = fc
    .array(fc.tuple(fc.nat(50_000), fc.integer({ min: 1, max: 5 * MiB })), { maxLength: 40 })
    .map((steps) => {
      let at = 0
      return steps.map(([gap, length]) => {
        const start = at + gap
        at = start + length
        return span(start, at)
      })
    })
  fc.assert(
    fc.property(spans, (wanted) => {
      const requests = requestsFor(wanted)
      requests.forEach(({ start, end }, i) => {
        assert.ok(end > start && end - start <= 4 * MiB)
        assert.ok(i === 0 || start >= requests[i - 1]!.end)
      })
      for (const { start, end } of wanted) {
        let at = start
        for (const request of requests) if (request.start <= at && request.end > at) at = Math.min(end, request.end)
        assert.equal(at, end)
      }
      const most = spanBytes(wanted) * 1.02 + 512 * wanted.length
      assert.ok(spanBytes(requests) <= most)
    }),
  )
})
