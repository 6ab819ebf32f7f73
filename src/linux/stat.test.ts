import assert from 'node:assert/strict'
import { closeSync, linkSync, lstatSync, mkdirSync, openSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import { setMtime } from './file.ts'
import { StatRecord } from './stat.ts'

test('says what lstat says', () => {
  using folder = scratch('statx')
  writeFileSync(join(folder.path, 'file'), 'x'.repeat(5000), { mode: 0o640 })
  linkSync(join(folder.path, 'file'), join(folder.path, 'again'))
  setMtime(join(folder.path, 'file'), -5, 123_456_789)
  symlinkSync('file', join(folder.path, 'link'))
  mkdirSync(join(folder.path, 'directory'))
  const fd = openSync(folder.path, 'r')
  try {
    for (const name of ['file', 'link', 'directory', '']) checkSame(fd, folder.path, name)
  } finally {
    closeSync(fd)
  }
  const devices = openSync('/dev', 'r')
  try {
    checkSame(devices, '/dev', 'null')
  } finally {
    closeSync(devices)
  }
})

function checkSame(directory: number, folder: string, name: string): void {
  const stat = new StatRecord()
  stat.read(directory, name)
  const want = lstatSync(join(folder, name), { bigint: true })
  const mtimeNs = BigInt(stat.mtime) * 1_000_000_000n + BigInt(stat.mtimeNsec)
  assert.deepEqual(
    [stat.mode, stat.uid, stat.gid, stat.nlink, stat.size, stat.rdev].map(BigInt),
    [want.mode, want.uid, want.gid, want.nlink, want.size, want.rdev],
    name,
  )
  assert.deepEqual([mtimeNs, stat.ctimeNs, stat.ino], [want.mtimeNs, want.ctimeNs, want.ino], name)
  assert.equal(BigInt(stat.ctime), want.ctimeNs / 1_000_000_000n)
}

test('fills in what a path leads to, if anything', () => {
  using folder = scratch('statx')
  writeFileSync(folder.at('file'), 'x')
  symlinkSync('file', folder.at('link'))
  const [file, link] = [new StatRecord(), new StatRecord()]
  assert.deepEqual([file.readPath(folder.at('file')), link.readPath(folder.at('link'))], [true, true])
  assert.equal(link.identity, file.identity)
  assert.deepEqual([file.readPath(folder.at('none')), file.readPath(folder.at('file/x'))], [false, false])
})

test('splits device numbers', () => {
  const stat = new StatRecord()
  stat.readPath('/dev/null')
  assert.deepEqual([stat.rdevMajor, stat.rdevMinor], [1, 3])
})
