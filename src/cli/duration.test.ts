import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../error.ts'
import { parseDuration } from './duration.ts'

test('durations are a number and a unit', () => {
  for (const [text, milliseconds] of [
    ['0s', 0],
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['36h', 129_600_000],
    ['7d', 604_800_000],
    ['2w', 1_209_600_000],
  ] as const)
    assert.equal(parseDuration(text), milliseconds)
  for (const text of ['', '7', 'd', '-1d', '1.5h', '7 d', '1y', '1e3s', '9999999999s', '7dd'])
    assert.throws(
      () => parseDuration(text),
      (error) => hasCode(error, 'USAGE'),
    )
})
