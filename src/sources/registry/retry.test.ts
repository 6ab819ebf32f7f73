import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OnefoldError } from '../../error.ts'
import { Attempts, TransientError, parseRetryAfter, retrying } from './retry.ts'

const now = Date.parse('2026-11-21T12:00:00Z')

const headers: readonly [value: string | undefined, expected: number | undefined][] = [
  [undefined, undefined],
  ['', undefined],
  ['0', 0],
  ['120', 120_000],
  [' 7 ', 7000],
  ['-1', undefined],
  ['1.5', undefined],
  ['99999999999', undefined],
  ['Sat, 21 Nov 2026 12:00:30 GMT', 30_000],
  ['Saturday, 21-Nov-26 12:00:30 GMT', 30_000],
  ['Sat, 21 Nov 2026 11:00:00 GMT', 0],
  ['soon', undefined],
  ['Xyz, soon', undefined],
]

for (const [value, expected] of headers)
  test(`parseRetryAfter reads ${JSON.stringify(value)}`, () => assert.equal(parseRetryAfter(value, now), expected))

/** The pauses that a row of failures makes, with a jitter that changes nothing. */
async function pauses(errors: readonly unknown[], options: object = {}): Promise<number[]> {
  const slept: number[] = []
  const sleep = (milliseconds: number): Promise<void> => Promise.resolve(void slept.push(milliseconds))
  const attempts = new Attempts({ jitter: () => 1, sleep, ...options })
  for (const error of errors)
    if (error === 'progress') attempts.progress()
    else await attempts.pause(error, undefined)
  return slept
}

const broken = new TransientError('NETWORK', 'broken')
const patient = (retryAfter: number): TransientError => new TransientError('NETWORK', 'busy', { retryAfter })

test('pauses double up to their limit', async () => {
  const slept = await pauses(Array(7).fill(broken), { maxDelay: 3000 })
  assert.deepEqual(slept, [200, 400, 800, 1600, 3000, 3000, 3000])
})

test('jitter takes away up to half of a pause', async () => {
  assert.deepEqual(await pauses([broken, broken], { jitter: () => 0 }), [100, 200])
})

test('Retry-After lengthens a pause, up to its own limit', async () => {
  assert.deepEqual(await pauses([patient(5000), patient(0), patient(3_600_000)]), [5000, 400, 60_000])
})

test('progress makes the next failure the first', async () => {
  assert.deepEqual(await pauses([broken, broken, 'progress', broken]), [200, 400, 200])
})

test('too many failures in a row give the last error', async () => {
  await assert.rejects(pauses([broken, broken, patient(1)], { attempts: 3 }), (error) => {
    assert.ok(error instanceof TransientError)
    assert.equal(error.message, 'busy')
    return true
  })
})

test('an error that will not pass is given at once', async () => {
  await assert.rejects(pauses([new OnefoldError('DENIED', 'no')]), { code: 'DENIED' })
  await assert.rejects(pauses([new TypeError('bug')]), TypeError)
})

test('retrying tries until it works', async () => {
  let calls = 0
  const result = await retrying({ sleep: () => Promise.resolve() }, undefined, () => {
    calls += 1
    return calls < 4 ? Promise.reject(broken) : Promise.resolve('there')
  })
  assert.equal(result, 'there')
  assert.equal(calls, 4)
})

test('a signal ends a pause at once', async () => {
  const stop = new AbortController()
  const running = retrying({ firstDelay: 60_000 }, stop.signal, () => Promise.reject(broken))
  setTimeout(() => stop.abort(), 10)
  await assert.rejects(running, { name: 'AbortError' })
})
