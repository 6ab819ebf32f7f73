import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { OnefoldError } from '../error.ts'
import { needsPrograms, needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import * as file from './file.ts'

const codeOf = (code: string) => (error: unknown) => error instanceof OnefoldError && error.code === code

test('an open file gets another name, and only a free one', () => {
  using folder = scratch('file')
  const fd = file.open(folder.at('first'), fs.constants.O_CREAT | fs.constants.O_WRONLY, 0o444)
  fs.writeSync(fd, 'content')
  file.syncfs(fd)
  file.linkFd(fd, folder.at('name'))
  assert.throws(() => file.linkFd(fd, folder.at('name')), codeOf('EXISTS'))
  fs.closeSync(fd)
  assert.equal(fs.readFileSync(folder.at('name'), 'utf8'), 'content')
  assert.equal(fs.statSync(folder.at('name')).mode, 0o100444)
})

test('syncfs beside other work tells success and errno', async () => {
  using folder = scratch('file')
  const fd = fs.openSync(folder.path, 'r')
  await file.syncfsAsync(fd)
  fs.closeSync(fd)
  await assert.rejects(file.syncfsAsync(-1), /Cannot syncfs descriptor -1: EBADF/)
})

test('names are bytes: one that is no UTF-8 comes through every call', () => {
  using folder = scratch('file')
  const path = folder.at('\xff\x80')
  fs.closeSync(file.open(path, fs.constants.O_CREAT | fs.constants.O_WRONLY, 0o600))
  assert.deepEqual(fs.readdirSync(folder.path, 'latin1'), ['\xff\x80'])
  assert.throws(() => file.open(folder.at('a\0b'), 0), codeOf('BAD_NAME'))
})

const planted = [
  { link: '/etc/hostname', path: 'link', beneath: 'IO', inRoot: 'NOT_FOUND' },
  { link: '../../../../../../etc/hostname', path: 'link', beneath: 'IO', inRoot: 'NOT_FOUND' },
  { link: '/inside', path: 'link', beneath: 'IO', inRoot: 'inside' },
  { link: 'inside', path: 'link', beneath: 'inside', inRoot: 'inside' },
  { link: '/', path: 'link/inside', beneath: 'IO', inRoot: 'inside' },
  { link: '/proc/self/fd/0', path: 'link', beneath: 'IO', inRoot: 'NOT_FOUND' },
] as const

for (const { link, path, beneath, inRoot } of planted) {
  test(`openBelow: a symlink to ${link} does not lead out`, () => {
    using folder = scratch('below')
    fs.writeFileSync(folder.at('inside'), 'inside')
    fs.symlinkSync(link, folder.at('link'))
    const directory = fs.openSync(folder.path, 'r')
    const outcome = (confinement: file.Confinement): string => {
      try {
        const fd = file.openBelow(directory, path, fs.constants.O_RDONLY, confinement)
        const text = fs.readFileSync(fd, 'utf8')
        fs.closeSync(fd)
        return text
      } catch (error) {
        return error instanceof OnefoldError ? error.code : String(error)
      }
    }
    assert.deepEqual([outcome('beneath'), outcome('in-root')], [beneath, inRoot])
    assert.equal(outcome('no-symlinks'), 'IO')
    fs.closeSync(directory)
  })
}

test('lchown and setMtime say exactly what they were told', { skip: needsRoot }, () => {
  using folder = scratch('file')
  fs.symlinkSync('nowhere', folder.at('link'))
  file.lchown(folder.at('link'), 4_000_000_000, 12)
  file.setMtime(folder.at('link'), -5, 999_999_999)
  const link = fs.lstatSync(folder.at('link'), { bigint: true })
  assert.deepEqual([link.uid, link.gid, link.mtimeNs], [4_000_000_000n, 12n, -4_000_000_001n])
})

test(
  'clone and cloneRange share blocks on XFS, and say so where they cannot',
  { skip: needsRoot || needsPrograms('mkfs.xfs') },
  () => {
    using folder = scratch('clone')
    fs.writeFileSync(folder.at('source'), Buffer.alloc(3 * 4096 + 5, 7))
    const onExt4 = [fs.openSync(folder.at('source'), 'r'), fs.openSync(folder.at('copy'), 'w')] as const
    const probed = file.clone(...onExt4)
    assert.equal(typeof probed, 'boolean')
    for (const fd of onExt4) fs.closeSync(fd)

    fs.writeFileSync(folder.at('disk'), '')
    fs.truncateSync(folder.at('disk'), 400 << 20)
    execFileSync('mkfs.xfs', ['-q', folder.at('disk')])
    fs.mkdirSync(folder.at('xfs'))
    execFileSync('mount', ['-o', 'loop', folder.at('disk'), folder.at('xfs')])
    try {
      fs.writeFileSync(folder.at('xfs', 'source'), Buffer.alloc(3 * 4096 + 5, 7))
      const from = fs.openSync(folder.at('xfs', 'source'), 'r')
      const to = fs.openSync(folder.at('xfs', 'copy'), 'w+')
      assert.equal(file.clone(from, to), true)
      assert.deepEqual(fs.readFileSync(folder.at('xfs', 'copy')), Buffer.alloc(3 * 4096 + 5, 7))
      const range = fs.openSync(folder.at('xfs', 'range'), 'w+')
      assert.equal(file.cloneRange(from, 4096, 8192, range, 4096), true)
      assert.deepEqual(
        fs.readFileSync(folder.at('xfs', 'range')),
        Buffer.concat([Buffer.alloc(4096), Buffer.alloc(8192, 7)]),
      )
      assert.equal(file.cloneRange(from, 1, 4096, range, 0), false)
      for (const fd of [from, to, range]) fs.closeSync(fd)
    } finally {
      execFileSync('umount', [folder.at('xfs')])
    }
  },
)
