import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { TestAnswer, TestJob } from '../../test/fixtures/answering-thread.ts'
import { startThread } from './start.ts'
import { RingAborted } from './ring.ts'
import { Thread } from './thread.ts'

const beside = new URL('../../test/fixtures/any', import.meta.url).href

function start(data?: unknown): Thread<TestJob, TestAnswer> {
  return new Thread(startThread('answering-thread', beside, data))
}

describe('a thread', () => {
  test('runs a module beside a file, with its data', async () => {
    await using thread = start('data of the thread')
    assert.equal(await thread.ask({ kind: 'data' }), 'data of the thread')
  })

  test('answers jobs in order, and tells what is left to do', async () => {
    await using thread = start()
    const answered: number[] = []
    const note = (i: number) => async (): Promise<void> => void answered.push(i)
    const running = [30, 1, 10].map((milliseconds, i) =>
      thread.ask({ kind: 'thread', milliseconds }, i + 1).then(note(i)),
    )
    assert.equal(thread.load, 6)
    await running[0]
    assert.equal(thread.load, 5)
    await Promise.all(running)
    assert.deepEqual([answered, thread.load], [[0, 1, 2], 0])
  })

  test('hands memory over', async () => {
    await using thread = start()
    assert.deepEqual(await thread.ask({ kind: 'memory', length: 3 }), Uint8Array.of(7, 7, 7))
  })

  test('goes on after a job that failed', async () => {
    await using thread = start()
    await assert.rejects(thread.ask({ kind: 'fail', how: 'told' }), {
      name: 'OnefoldError',
      code: 'LIMIT',
      message: 'Cannot go on: 7 is too many',
      hint: 'Take fewer.',
    })
    await assert.rejects(thread.ask({ kind: 'fail', how: 'bug' }), (error: Error) => {
      assert.deepEqual([error.name, error.message], ['RangeError', 'a bug'])
      return /answering-thread/.test(error.stack ?? '')
    })
    await assert.rejects(thread.ask({ kind: 'fail', how: 'ring' }), RingAborted)
    await assert.rejects(thread.ask({ kind: 'fail', how: 'uncloneable' }), /could not be cloned/)
    assert.equal(typeof (await thread.ask({ kind: 'thread' })), 'number')
  })

  test('refuses a job that cannot be sent, and only that', async () => {
    await using thread = start()
    const bad = { kind: 'thread', milliseconds: () => 1 } as unknown as TestJob
    await assert.rejects(thread.ask(bad), { name: 'DataCloneError' })
    assert.equal(thread.load, 0)
    assert.equal(typeof (await thread.ask({ kind: 'thread' })), 'number')
  })

  for (const [how, job, expected] of [
    ['exits', { kind: 'exit', code: 3 }, /a thread stopped with exit code 3/],
    ['crashes', { kind: 'crash' }, { name: 'TypeError', message: 'between two jobs' }],
  ] as const)
    test(`that ${how} fails what waits and what comes`, async () => {
      await using thread = start()
      const running = [job, { kind: 'thread' } as const].map((each) => thread.ask(each))
      await assert.rejects(Promise.all(running), expected)
      await assert.rejects(thread.ask({ kind: 'thread' }), expected)
      assert.equal(thread.load, 0)
    })

  test('whose module is not there fails what waits', async () => {
    await using thread = new Thread<TestJob, TestAnswer>(startThread('no-thread', beside))
    await assert.rejects(thread.ask({ kind: 'thread' }), /no-thread/)
  })

  test('ends while it works, and takes nothing after the end', async () => {
    const thread = start()
    const running = thread.ask({ kind: 'wait', word: new Int32Array(new SharedArrayBuffer(4)) })
    await Promise.all([assert.rejects(running, /the thread was ended/), thread[Symbol.asyncDispose]()])
    await assert.rejects(thread.ask({ kind: 'thread' }), /the thread was ended/)
  })
})
