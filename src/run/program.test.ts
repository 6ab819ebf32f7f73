import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { scratch } from '../../test/fixtures/scratch.ts'
import { checkProgram } from './program.ts'
import { Rootfs } from './container-root.ts'
import { ProgramError } from './runtime.ts'

const node = fs.readFileSync(process.execPath).subarray(0, 4096)
const loader = '/lib64/ld-linux-x86-64.so.2'

/** Puts `files` into an image, executable, and says what checkProgram makes of `program`. */
function check(files: Readonly<Record<string, string | Uint8Array>>, program: string, cwd = '/'): number | undefined {
  using folder = scratch('program')
  for (const [path, bytes] of Object.entries(files)) {
    fs.mkdirSync(folder.at(path, '..'), { recursive: true })
    fs.writeFileSync(folder.at(path), bytes, { mode: 0o755 })
  }
  fs.symlinkSync('loop', folder.at('loop'))
  using rootfs = new Rootfs(folder.path)
  const account = { uid: 0, gid: 0, groups: [0], home: '/' }
  try {
    checkProgram(rootfs, { args: [program], env: ['PATH=/bin:/sbin'], cwd, account, terminal: false })
    return undefined
  } catch (error) {
    assert.ok(error instanceof ProgramError, String(error))
    return error.exitCode
  }
}

test('scripts need their interpreter', () => {
  assert.equal(check({ 'bin/a': '#!/bin/sh -e\n', 'bin/sh': node, [loader]: node }, 'a'), undefined)
  assert.equal(check({ 'bin/a': '#! /bin/sh\n' }, 'a'), 127)
  assert.equal(check({ 'sbin/a': '#!/bin/sh' }, '/sbin/a'), 127)
  assert.equal(check({ 'bin/a': '#!sh\n', 'w/sh': node }, '/bin/a', '/w'), undefined)
  assert.equal(check({ 'bin/a': '#!/loop\n' }, 'a'), 127)
  assert.equal(check({ 'bin/a': '#!\n' }, 'a'), undefined, 'is for the kernel to judge')
})

test('what is not there, or cannot be executed, is left to the runtime', () => {
  assert.equal(check({}, 'a'), undefined)
  assert.equal(check({ 'bin/a/b': '' }, 'a'), undefined)
  assert.equal(check({}, '/loop'), undefined)
})

test('dynamic programs need their loader', { skip: process.arch === 'x64' ? false : 'needs x64' }, () => {
  assert.equal(check({ 'bin/node': node }, 'node'), 127)
  assert.equal(check({ 'bin/node': node, [loader]: node }, 'node'), undefined)
})

test('whatever bytes a program begins with, the answer is a ProgramError or none', () => {
  const damaged = fc
    .array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 8 })
    .map((changes) => changes.reduce((bytes, [at, byte]) => ((bytes[at] = byte), bytes), Buffer.from(node)))
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 100 })), (bytes) => {
      check({ 'bin/a': bytes }, 'a')
    }),
    { numRuns: 300 },
  )
})
