import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import { readNames } from './directory.ts'

test('reads all names, however many and of whatever bytes', () => {
  using folder = scratch('names')
  mkdirSync(join(folder.path, 'sub'))
  writeFileSync(Buffer.concat([Buffer.from(`${folder.path}/n `), Buffer.of(0xff)]), '')
  for (let i = 0; i < 1500; i++) writeFileSync(join(folder.path, `${i}${'x'.repeat(200)}`), '')
  const fd = openSync(folder.path, 'r')
  try {
    const want = readdirSync(folder.path, { encoding: 'latin1' })
    assert.deepEqual(readNames(fd).sort(), want.sort())
    assert.equal(want.length, 1502)
  } finally {
    closeSync(fd)
  }
  const empty = openSync(join(folder.path, 'sub'), 'r')
  try {
    assert.deepEqual(readNames(empty), [])
  } finally {
    closeSync(empty)
  }
})
