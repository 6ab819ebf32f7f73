import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { needsPrograms } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { flock, isOpenElsewhere, tryFlock } from './flock.ts'

test('flock excludes as its modes say, and ends with the descriptor', () => {
  using folder = scratch('lock')
  fs.writeFileSync(folder.at('lock'), '')
  const open = (): number => fs.openSync(folder.at('lock'), 'r')
  const [a, b] = [open(), open()]
  flock(a, 'shared')
  assert.equal(tryFlock(b, 'shared'), true)
  assert.equal(tryFlock(b, 'exclusive'), false)
  fs.closeSync(b)
  assert.equal(tryFlock(a, 'exclusive'), true)
  const c = open()
  assert.equal(tryFlock(c, 'shared'), false)
  fs.closeSync(a)
  assert.equal(tryFlock(c, 'exclusive'), true)
  fs.closeSync(c)
})

test('a file is open elsewhere while any other opener lives', { skip: needsPrograms('sleep') }, async () => {
  using folder = scratch('lease')
  fs.writeFileSync(folder.at('image'), 'x')
  assert.equal(isOpenElsewhere(folder.at('image')), false)
  const fd = fs.openSync(folder.at('image'), 'r')
  const holder = await holding(fd)
  fs.closeSync(fd)
  assert.equal(isOpenElsewhere(folder.at('image')), true)
  holder.kill('SIGKILL')
  await once(holder, 'exit')
  assert.equal(isOpenElsewhere(folder.at('image')), false)
})

test('an open that meets the lease neither fails nor kills us', { skip: needsPrograms('sh', 'cat') }, async () => {
  using folder = scratch('lease')
  fs.writeFileSync(folder.at('image'), 'x')
  const reader = spawn('sh', ['-c', 'while :; do cat "$0" >/dev/null || exit 1; done', folder.at('image')])
  await once(reader, 'spawn')
  for (let i = 0; i < 20_000; i++) isOpenElsewhere(folder.at('image'))
  assert.equal(reader.exitCode, null)
  reader.kill('SIGKILL')
  await once(reader, 'exit')
})

async function holding(fd: number): Promise<ChildProcess> {
  const child = spawn('sleep', ['60'], { stdio: [fd, 'ignore', 'ignore'] })
  await once(child, 'spawn')
  return child
}
