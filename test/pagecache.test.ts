import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { scratch } from './fixtures/scratch.ts'
import { evict, residency } from './pagecache.ts'

test('what is read is resident, what is evicted is not', () => {
  using folder = scratch('cache')
  fs.writeFileSync(folder.at('file'), Buffer.alloc(10 * 4096 + 1, 1))
  const fd = fs.openSync(folder.at('file'), 'r')
  evict(fd)
  assert.deepEqual(residency(fd), { resident: 0, pages: 11 })
  fs.readFileSync(folder.at('file'))
  assert.deepEqual(residency(fd), { resident: 11, pages: 11 })
  fs.closeSync(fd)
})

test('an empty file has no pages', () => {
  using folder = scratch('cache')
  const fd = fs.openSync(folder.at('file'), 'w+')
  assert.deepEqual(residency(fd), { resident: 0, pages: 0 })
  fs.closeSync(fd)
})
