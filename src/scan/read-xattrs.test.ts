import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import { setXattr } from '../linux/xattr.ts'
import { readXattrs } from './read-xattrs.ts'

const all = (name: string): boolean => name.startsWith('user.')

test('gives the attributes that are wanted, in byte order', () => {
  using folder = scratch('xattrs')
  writeFileSync(folder.at('file'), '')
  for (const name of ['user.c', 'user.a', 'user.b']) setXattr(folder.at('file'), name, Buffer.from(name))
  assert.deepEqual([...readXattrs(folder.at('file'), all).keys()], ['user.a', 'user.b', 'user.c'])
  const one = readXattrs(folder.at('file'), (name) => name === 'user.b')
  assert.deepEqual([...one], [['user.b', new Uint8Array(Buffer.from('user.b'))]])
})

test('asks a symlink for its own, and finds none where a file system has none', () => {
  using folder = scratch('xattrs')
  writeFileSync(folder.at('file'), '')
  setXattr(folder.at('file'), 'user.a', Buffer.from('1'))
  symlinkSync('file', folder.at('link'))
  assert.equal(readXattrs(folder.at('link'), all).size, 0)
  assert.equal(readXattrs('/proc/self/status', all).size, 0)
})
