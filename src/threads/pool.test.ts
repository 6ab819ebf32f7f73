import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, test } from 'node:test'
import type { TestAnswer, TestJob } from '../../test/fixtures/answering-thread.ts'
import { type PoolOptions, ThreadPool, threadCount } from './pool.ts'
import { startThread } from './start.ts'

const beside = new URL('../../test/fixtures/any', import.meta.url).href

interface Watched {
  readonly pool: ThreadPool<TestJob, TestAnswer>
  /** How many threads were started. */
  readonly started: () => number
}

function watched(options: PoolOptions): Watched {
  let started = 0
  const pool = new ThreadPool<TestJob, TestAnswer>(() => {
    started++
    return startThread('answering-thread', beside)
  }, options)
  return { pool, started: () => started }
}

function word(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4))
}

function wake(waiting: Int32Array): void {
  Atomics.store(waiting, 0, 1)
  Atomics.notify(waiting, 0)
}

describe('a pool of threads', () => {
  test('starts a thread when there is a job and no other is free', async () => {
    const { pool, started } = watched({ threads: 2 })
    await using _ = pool
    assert.equal(started(), 0)
    const first = await pool.run({ kind: 'thread' })
    assert.equal(await pool.run({ kind: 'thread' }), first)
    assert.equal(started(), 1)
    const waiting = word()
    const busy = pool.run({ kind: 'wait', word: waiting })
    assert.notEqual(await pool.run({ kind: 'thread' }), first)
    wake(waiting)
    assert.equal(await busy, first)
    assert.equal(started(), 2)
  })

  test('gives a job to the thread with the least to do', async () => {
    const { pool, started } = watched({ threads: 2 })
    await using _ = pool
    const [one, other] = [word(), word()]
    const [heavy, light] = [pool.run({ kind: 'wait', word: one }, 10), pool.run({ kind: 'wait', word: other }, 1)]
    const more = Array.from({ length: 5 }, () => pool.run({ kind: 'thread' }))
    wake(other)
    assert.deepEqual(new Set(await Promise.all(more)), new Set([await light]))
    wake(one)
    assert.notEqual(await heavy, await light)
    assert.equal(started(), 2)
  })

  test('starts nothing after its end', async () => {
    const { pool, started } = watched({ threads: 2 })
    await pool[Symbol.asyncDispose]()
    await assert.rejects(pool.run({ kind: 'thread' }), /the threads were ended/)
    assert.equal(started(), 0)
  })

  test('ends in the middle of its work', async () => {
    const { pool } = watched({ threads: 2 })
    const running = Array.from({ length: 5 }, () => pool.run({ kind: 'wait', word: word() }))
    const ended = Promise.allSettled(running)
    await pool[Symbol.asyncDispose]()
    assert.deepEqual(new Set((await ended).map(({ status }) => status)), new Set(['rejected']))
  })

  test('stops when it is told to', async () => {
    const controller = new AbortController()
    const { pool, started } = watched({ threads: 1, signal: controller.signal })
    await using _ = pool
    const running = [pool.run({ kind: 'wait', word: word() }), pool.run({ kind: 'thread' })]
    const ended = Promise.allSettled(running)
    const reason = new Error('enough')
    controller.abort(reason)
    assert.deepEqual(await ended, [
      { status: 'rejected', reason },
      { status: 'rejected', reason },
    ])
    await assert.rejects(pool.run({ kind: 'thread' }), reason)
    assert.equal(started(), 1)
  })

  test('fails what is asked after a thread has died', async () => {
    const { pool } = watched({ threads: 1 })
    await using _ = pool
    await assert.rejects(pool.run({ kind: 'exit', code: 5 }), /exit code 5/)
    await assert.rejects(pool.run({ kind: 'thread' }), /exit code 5/)
  })

  test('keeps no process alive after its end', () => {
    const program = `
      async function main() {
        const { ThreadPool } = await import('./pool.ts')
        const { startThread } = await import('./start.ts')
        const pool = new ThreadPool(() => startThread('answering-thread', ${JSON.stringify(beside)}), { threads: 2 })
        await Promise.all([pool.run({ kind: 'thread' }), pool.run({ kind: 'thread' })])
        await pool[Symbol.asyncDispose]()
        console.log('done')
      }
      main()`
    const options = { encoding: 'utf8', cwd: import.meta.dirname, timeout: 60_000 } as const
    assert.equal(execFileSync(process.execPath, ['-e', program], options), 'done\n')
  })
})

test('threadCount() is at least one and at most what is allowed', () => {
  assert.deepEqual([threadCount(8, 3), threadCount(8, 9), threadCount(8, 0)], [3, 8, 1])
  assert.ok(threadCount(1000) >= 1)
})
