import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemError } from '../linux/libc.ts'
import { tryMeans } from './mount-means.ts'

/** Calls that tryMeans() makes when the kernel answers as told, and what it throws in the end. */
function tried(answers: readonly (string | undefined)[]): { calls: string[]; thrown: string | undefined } {
  const calls: string[] = []
  const pending = [...answers]
  try {
    tryMeans(({ image, layers }) => {
      calls.push(`${image} ${layers}`)
      const errno = pending.shift()
      if (errno !== undefined) throw systemError('fsconfig', `call ${calls.length}`, errno)
    })
    return { calls, thrown: undefined }
  } catch (error) {
    return { calls, thrown: error instanceof Error ? error.message : String(error) }
  }
}

describe('the ways of asking for a mount', () => {
  const cases: [what: string, answers: (string | undefined)[], calls: string[], thrown: string | undefined][] = [
    ['the newest one does', [undefined], ['file descriptors'], undefined],
    [
      'a loop device where EROFS reads no files',
      ['ENOTBLK', undefined],
      ['file descriptors', 'loop descriptors'],
      undefined,
    ],
    [
      'the first refusal says most when none is understood',
      ['EBADF', 'EINVAL', 'EINVAL'],
      ['file descriptors', 'file paths', 'file string'],
      'Cannot fsconfig call 1: EBADF',
    ],
    [
      'a plain refusal ends it, and is what is told',
      ['EBADF', 'ENOENT'],
      ['file descriptors', 'file paths'],
      'Cannot fsconfig call 2: ENOENT',
    ],
    [
      'a missing loop device says more than the file that needs one',
      ['ENOTBLK', 'ENODEV'],
      ['file descriptors', 'loop descriptors'],
      'Cannot fsconfig call 2: ENODEV',
    ],
    [
      'a loop device is kept when layers are given in an older way',
      ['ENOTBLK', 'EINVAL', 'EINVAL', 'EINVAL'],
      ['file descriptors', 'loop descriptors', 'loop paths', 'loop string'],
      'Cannot fsconfig call 2: EINVAL',
    ],
    [
      'a loop device is asked for once',
      ['ENOTBLK', 'ENOTBLK'],
      ['file descriptors', 'loop descriptors'],
      'Cannot fsconfig call 2: ENOTBLK',
    ],
  ]
  for (const [what, answers, calls, thrown] of cases)
    test(what, () => assert.deepEqual(tried(answers), { calls, thrown }))

  test('what worked is where the next mount begins', () => {
    assert.deepEqual(tried(['EINVAL', 'EINVAL', undefined]).calls, ['file descriptors', 'file paths', 'file string'])
    assert.deepEqual(tried([undefined]).calls, ['file string'])
    assert.deepEqual(tried(['EINVAL']), { calls: ['file string'], thrown: 'Cannot fsconfig call 1: EINVAL' })
  })

  test('an error that is none of the kernel is not answered by another way', () => {
    assert.throws(
      () =>
        tryMeans(() => {
          throw new TypeError('a bug')
        }),
      TypeError,
    )
  })
})
