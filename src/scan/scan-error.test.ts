import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { OnefoldError } from '../error.ts'
import { open } from '../linux/file.ts'
import { ScanError, type ScanFailure, scanError, scanning } from './scan-error.ts'

describe('what failed in a scan', () => {
  const cases: [failure: ScanFailure, code: string, message: string][] = [
    [{ action: 'read', path: '/a', errno: 'ENOENT' }, 'NOT_FOUND', 'Cannot read "/a": there is no such file'],
    [{ action: 'read', path: '/\xc3\xa9"', errno: 'EACCES' }, 'DENIED', 'Cannot read "/é\\"": permission denied'],
    [{ action: 'hash', path: '/a', errno: 'EIO' }, 'IO', 'Cannot hash "/a": i/o error (EIO)'],
    [
      { action: 'store', path: '/o', errno: 'ENOTDIR' },
      'NOT_FOUND',
      'Cannot put an object into "/o": not a directory (ENOTDIR)',
    ],
    [
      { action: 'read', path: '/a', errno: undefined },
      'DIGEST_MISMATCH',
      'Cannot read "/a": it changed while the tree was being read',
    ],
  ]
  for (const [failure, code, message] of cases)
    test(message, () => {
      const error = new ScanError(failure)
      assert.deepEqual([error.code, error.message], [code, message])
    })
})

describe('an error of the system', () => {
  test('names the path, whether it comes from Node or from a call of ours', () => {
    for (const work of [(): unknown => readFileSync('/nowhere'), (): unknown => open('/nowhere', 0)])
      assert.throws(() => scanning('read', '/b', work), {
        name: 'OnefoldError',
        code: 'NOT_FOUND',
        message: 'Cannot read "/b": there is no such file',
      })
  })

  test('stays what it is when it has been told already', () => {
    const told = new ScanError({ action: 'hash', path: '/a', errno: 'EIO' })
    assert.equal(scanError('read', '/b', told), told)
  })

  test('is none where nothing was asked of the system', () => {
    const limit = new OnefoldError('LIMIT', 'Cannot hold tree: more than 4 GiB of names')
    assert.equal(scanError('read', '/b', limit), limit)
  })
})
