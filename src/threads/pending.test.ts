import assert from 'node:assert/strict'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { Pending } from './pending.ts'

/** Waits long enough for everything that is going to happen. */
async function settledWithin(waiting: Promise<void>): Promise<boolean> {
  let settled = false
  waiting.then(
    () => (settled = true),
    () => (settled = true),
  )
  await nextTurn()
  return settled
}

describe('work that is on its way', () => {
  test('is waited for until little enough is left', async () => {
    const pending = new Pending()
    const jobs = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    for (const { promise } of jobs) pending.add(promise)
    await pending.until(3)
    const [two, none] = [pending.until(2), pending.until(0)]
    assert.equal(await settledWithin(two), false)
    jobs[1]?.resolve()
    assert.equal(await settledWithin(two), true)
    assert.equal(await settledWithin(none), false)
    for (const { resolve } of jobs) resolve()
    await none
  })

  test('tells its first failure at once, and to everybody who waits later', async () => {
    const pending = new Pending()
    const jobs = Array.from({ length: 3 }, () => Promise.withResolvers<void>())
    for (const { promise } of jobs) pending.add(promise)
    const waiting = pending.until(0)
    jobs[2]?.reject(new Error('first'))
    jobs[0]?.reject(new Error('second'))
    await assert.rejects(waiting, /first/)
    await assert.rejects(pending.until(5), /first/)
  })
})
