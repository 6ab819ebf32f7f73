import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatTime, parseTime } from './go-time.ts'

test('times as Go prints them', () => {
  const at = (seconds: number, nanoseconds = 0): object => ({ seconds, nanoseconds })
  assert.deepEqual(parseTime(''), at(0))
  assert.deepEqual(parseTime('1970-01-01T00:00:00Z'), at(0))
  assert.deepEqual(parseTime('0001-01-01T00:00:00Z'), at(0))
  assert.deepEqual(parseTime('2000-02-29T23:59:59.000000001-01:30'), at(Date.UTC(2000, 2, 1, 1, 29, 59) / 1000, 1))
  assert.deepEqual(parseTime('1969-12-31T23:59:58.5Z'), at(-2, 500_000_000))
  assert.deepEqual(parseTime('9999-12-31T23:59:59Z'), at(253_402_300_799))
  for (const bad of [
    '2023',
    '2023-13-01T00:00:00Z',
    '2023-00-01T00:00:00Z',
    '2023-04-31T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2023-01-01T24:00:00Z',
    '2023-01-01T00:00:00',
    ' 2023-01-01T00:00:00Z',
  ])
    assert.equal(parseTime(bad), undefined, bad)
  assert.equal(formatTime({ seconds: 253_402_300_800, nanoseconds: 0 }), undefined)
  assert.equal(formatTime({ seconds: Number.MAX_SAFE_INTEGER, nanoseconds: 0 }), undefined)
})

test('what is written is read, and is the time that Date knows', () => {
  const seconds = fc.integer({ min: -62_135_596_799, max: 253_402_300_799 })
  fc.assert(
    fc.property(seconds, fc.constantFrom(0, 1, 500_000_000, 999_999_999), (seconds, nanoseconds) => {
      const text = formatTime({ seconds, nanoseconds })!
      assert.equal(Date.parse(text.slice(0, 19) + 'Z'), seconds * 1000)
      assert.deepEqual(parseTime(text), { seconds, nanoseconds })
    }),
  )
})
