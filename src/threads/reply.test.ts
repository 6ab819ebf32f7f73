import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { OnefoldError, errnoOf, hasCode } from '../error.ts'
import { failureReply, packError, resultOf, unpackError } from './reply.ts'
import { RingAborted } from './ring.ts'

/** What an error is on the other side. */
function sent(error: unknown): Error {
  return unpackError(structuredClone(packError(error)))
}

function thrown(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

describe('an error on its way between threads', () => {
  test('stays a OnefoldError with all that it says', () => {
    const before = new OnefoldError('BUSY', 'Cannot do it: it is in use, expected peace', { hint: 'Wait.' })
    const after = sent(before)
    assert.ok(hasCode(after, 'BUSY'))
    assert.deepEqual([after.message, after.hint, after.stack], [before.message, before.hint, before.stack])
    const bare = sent(new OnefoldError('IO', 'Cannot do it'))
    assert.ok(hasCode(bare, 'IO'))
    assert.deepEqual([bare.hint, bare.cause], [undefined, undefined])
  })

  test('keeps its causes', () => {
    const system = thrown(() => readFileSync('/nowhere'))
    const told = new OnefoldError('NOT_FOUND', 'Cannot read it', { cause: system })
    const after = sent(new OnefoldError('BAD_FORMAT', 'Cannot use it', { cause: told }))
    assert.ok(hasCode(after, 'BAD_FORMAT'))
    assert.ok(hasCode(after.cause, 'NOT_FOUND'))
    assert.equal(errnoOf(after.cause.cause), 'ENOENT')
  })

  test('carries its stack where it is a bug', () => {
    const before = new TypeError('x is not a function', { cause: 'what is no error' })
    const after = sent(before)
    assert.ok(!(after instanceof OnefoldError))
    assert.deepEqual([after.name, after.message, after.stack], ['TypeError', before.message, before.stack])
    assert.equal((after.cause as Error).message, 'what is no error')
    assert.equal(sent('thrown as it is').message, 'thrown as it is')
  })

  test('comes to an end where its causes do not', () => {
    const circle = new Error('round')
    circle.cause = circle
    let depth = 0
    for (let error: unknown = sent(circle); error instanceof Error; error = error.cause) depth++
    assert.equal(depth, 17)
  })
})

test('a reply gives its result, or throws what it tells', () => {
  assert.equal(resultOf({ kind: 'done', result: 7 }), 7)
  assert.throws(() => resultOf(failureReply(new OnefoldError('IO', 'Cannot'))), { code: 'IO', message: 'Cannot' })
  assert.throws(() => resultOf(failureReply(new RingAborted())), RingAborted)
})
