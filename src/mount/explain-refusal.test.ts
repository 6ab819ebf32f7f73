import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { OnefoldError } from '../error.ts'
import { systemError } from '../linux/libc.ts'
import { needsPrograms, needsRoot } from '../../test/fixtures/needs.ts'
import { explainRefusal } from './explain-refusal.ts'

const told = (errno: string, kernel: string): [string, string] | undefined => {
  const error = explainRefusal(systemError('fsconfig', 'something', errno), kernel)
  return error instanceof OnefoldError ? [error.code, error.message] : undefined
}

test('a refusal says what is missing', () => {
  assert.deepEqual(told('EPERM', '6.12.1'), ['DENIED', 'Cannot mount: the kernel allows it to root only'])
  assert.deepEqual(told('ENOSYS', '4.19.0'), [
    'UNSUPPORTED',
    'Cannot mount: this kernel, 4.19.0, lacks the mount API of Linux 5.2',
  ])
  assert.deepEqual(told('EINVAL', '6.1.0-28-amd64'), [
    'UNSUPPORTED',
    "Cannot mount: this kernel, 6.1.0-28-amd64, lacks overlay's data-only layers (Linux 6.5)",
  ])
  assert.deepEqual(told('EINVAL', '6.12.0'), ['IO', 'Cannot fsconfig something: EINVAL'])
})

test('errors of Node itself become ours', () => {
  const error = explainRefusal(Object.assign(new Error('EROFS: read-only file system'), { code: 'EROFS' }))
  assert.equal(error instanceof OnefoldError && error.code, 'IO')
})

test('without privileges the answer is DENIED', { skip: needsRoot || needsPrograms('setpriv') }, () => {
  const program = `
    import { FsContext } from ${JSON.stringify(new URL('../linux/mount-calls.ts', import.meta.url).href)}
    import { explainRefusal } from ${JSON.stringify(new URL('explain-refusal.ts', import.meta.url).href)}
    try { new FsContext('overlay') } catch (error) { console.log(explainRefusal(error).message) }`
  const run = ['--bounding-set', '-all', '--inh-caps', '-all', process.execPath, '--input-type=module', '-e', program]
  assert.equal(execFileSync('setpriv', run, { encoding: 'utf8' }), 'Cannot mount: the kernel allows it to root only\n')
})
