import assert from 'node:assert/strict'
import { type TestContext, describe, test } from 'node:test'
import { digestOf } from '../digest.ts'
import { terminalOutput } from './output.ts'
import { type Progress, showProgress } from './progress.ts'

const digest = digestOf('layer')

/** What stands on stderr after `ms` of a pull that takes in half of a layer. */
function shownAfter(t: TestContext, ms: number, quiet = false): { lines: string[]; progress: Progress } {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] })
  const lines: string[] = []
  t.mock.method(process.stderr, 'write', (text: string) => lines.push(text))
  const progress = showProgress(terminalOutput({ json: false, quiet, verbose: false }))
  progress.event({ type: 'step', step: 'pulling' })
  progress.event({ type: 'layer', digest, size: 2_000_000, done: 1_000_000, finished: false })
  t.mock.timers.tick(ms)
  return { lines, progress }
}

describe('progress where there is no terminal', { skip: process.stderr.isTTY ? 'stderr is a terminal' : false }, () => {
  test('says nothing of what ends within a second', (t) => {
    assert.deepEqual(shownAfter(t, 999).lines, [])
  })

  test('is a line now and then, until it ends', (t) => {
    const { lines, progress } = shownAfter(t, 1000)
    assert.deepEqual(lines, ['pulling: 0 of 1 layers, 1.0 MB of 2.0 MB\n'])
    t.mock.timers.tick(2000)
    assert.equal(lines.length, 2)
    progress.end()
    t.mock.timers.tick(10_000)
    assert.equal(lines.length, 2)
  })

  test('is not shown when quiet is asked for', (t) => {
    assert.deepEqual(shownAfter(t, 5000, true).lines, [])
  })
})
