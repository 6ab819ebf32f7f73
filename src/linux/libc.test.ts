import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { OnefoldError, errnoOf, hasCode } from '../error.ts'
import { cString, isErrno, libcCall, systemError } from './libc.ts'

test('nothing is loaded before the first call', () => {
  const program = `
    import { createRequire } from 'node:module'
    const modules = ['libc', 'file', 'flock', 'loop', 'mount-calls', 'mountinfo', 'namespace', 'statfs', 'fs-verity', 'xattr']
    const here = ${JSON.stringify(import.meta.url)}
    const loaded = []
    for (const name of modules) loaded.push(await import(new URL(name + '.ts', here)))
    const koffi = () => Object.keys(createRequire(here).cache).some((path) => path.includes('koffi'))
    const before = koffi()
    const { statfs } = await import(new URL('statfs.ts', here))
    statfs('/')
    console.log(before, koffi())`
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  assert.equal(output, 'false true\n')
})

test('a failed call becomes our error, with the errno below', () => {
  const close = libcCall('close', 'i')
  assert.throws(
    () => close('descriptor -7', -7),
    (error) =>
      error instanceof OnefoldError &&
      error.code === 'IO' &&
      error.message === 'Cannot close descriptor -7: EBADF' &&
      errnoOf(error.cause) === 'EBADF' &&
      isErrno(error, 'ENOENT', 'EBADF'),
  )
})

for (const [errno, code] of [
  ['ENOENT', 'NOT_FOUND'],
  ['EEXIST', 'EXISTS'],
  ['EBUSY', 'BUSY'],
  ['EPERM', 'DENIED'],
  ['EOPNOTSUPP', 'UNSUPPORTED'],
  ['EIO', 'IO'],
] as const) {
  test(`${errno} is ${code}`, () => assert.ok(hasCode(systemError('call', 'it', errno), code)))
}

test('a path is its bytes and a NUL, and holds none', () => {
  assert.deepEqual(Array.from(cString('a\xff')), [0x61, 0xff, 0])
  assert.throws(
    () => cString('a\0b'),
    (error) => hasCode(error, 'BAD_NAME'),
  )
})
