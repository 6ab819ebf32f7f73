import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../error.ts'
import { ProgramError, findRuntime, parseRuntimeError, runtimeCommand } from './runtime.ts'
import { exitCodeOf, parseSignal } from './signals.ts'

const logged: readonly [msg: string, code: number | string][] = [
  ['executable file `/nope` not found in $PATH: No such file or directory', 127], // crun
  ['open executable: Permission denied', 126],
  ['open executable: Operation not permitted', 126],
  ['cannot find cgroup', 'IO'],
  ['runc run failed: unable to start container process: exec: "nope": executable file not found in $PATH', 127],
  ['runc run failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory', 127],
  ['runc run failed: unable to start container process: exec: "/plain": permission denied', 126],
  ['runc run failed: container with given ID already exists', 'IO'],
]

for (const [msg, code] of logged) {
  test(`logged: ${msg}`, () => {
    const error = parseRuntimeError(
      `${JSON.stringify({ level: 'warning', msg: 'x' })}\n${JSON.stringify({ msg, level: 'error' })}\n`,
      'p',
    )
    assert.equal(error instanceof ProgramError ? error.exitCode : error?.code, code)
    assert.equal(error?.message, `Cannot run "p": ${msg}`)
  })
}

test('no error in the log is no error', () => {
  for (const log of [
    '',
    'no JSON\n',
    'null\n',
    '{"level":"info","msg":"x"}\n',
    '{"level":"error"}\n',
    '{"level":"error","msg":7}',
  ]) {
    assert.equal(parseRuntimeError(log, 'p'), undefined)
  }
})

test('a runtime is found by name, by path, or not at all', () => {
  assert.equal(findRuntime('sh', '/nonexistent:/bin'), '/bin/sh')
  assert.equal(findRuntime('/bin/sh', ''), '/bin/sh')
  assert.throws(
    () => findRuntime('no-such-runtime'),
    (error) => hasCode(error, 'NOT_FOUND') && error.hint !== undefined,
  )
})

test('beside cgroup version 1, crun gets a view without version 2, and others what they were given', () => {
  const args = ['kill', 'id'] as const
  assert.deepEqual(runtimeCommand('/usr/bin/crun', undefined, ...args), ['/usr/bin/crun', 'kill', 'id'])
  assert.deepEqual(runtimeCommand('/usr/sbin/runc', '/cg', ...args), ['/usr/sbin/runc', 'kill', 'id'])
  assert.deepEqual(runtimeCommand('/usr/bin/crun', '/cg', ...args), [
    'unshare',
    '--mount',
    'sh',
    '-c',
    'umount "$0" && exec "$@"',
    '/cg',
    '/usr/bin/crun',
    'kill',
    'id',
  ])
})

test('signals by name and number; exit codes as a shell says them', () => {
  assert.deepEqual(['SIGQUIT', 'quit', '3', 'SIGRTMIN+3', '', '0', '999'].map(parseSignal), [
    'SIGQUIT',
    'SIGQUIT',
    'SIGQUIT',
    undefined,
    undefined,
    undefined,
    undefined,
  ])
  assert.deepEqual([exitCodeOf(7, null), exitCodeOf(null, 'SIGKILL')], [7, 137])
})
