import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { needsPrograms, needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from '../formats/tree.ts'
import { pathToBytes } from '../paths.ts'
import { ScanError } from './scan-error.ts'
import { type WalkedName, readLink, walkTree } from './walk-tree.ts'

/** What a walk finds; `visit` is called at each name, before the next one is looked for. */
function walked(root: string, visit: (name: WalkedName) => void = () => {}): [path: string, depth: number][] {
  const found: [string, number][] = []
  for (const name of walkTree(root)) {
    found.push([name.path, name.depth])
    visit(name)
  }
  return found
}

function makeTree(root: string): void {
  mkdirSync(`${root}/d/e`, { recursive: true })
  for (const file of ['d/e/x', 'd/e.y', 'Z', 'a b']) writeFileSync(`${root}/${file}`, '')
  writeFileSync(pathToBytes(`${root}/\xff`), '')
}

test('finds every name, parents first, siblings in byte order', () => {
  using folder = scratch('walk')
  makeTree(folder.path)
  assert.deepEqual(walked(folder.path), [
    ['', 0],
    ['Z', 1],
    ['a b', 1],
    ['d', 1],
    ['d/e', 2],
    ['d/e/x', 3],
    ['d/e.y', 2],
    ['\xff', 1],
  ])
})

test('tells what stands under a name, and how to get there', async () => {
  using folder = scratch('walk')
  mkdirSync(folder.at('d'))
  writeFileSync(folder.at('file'), 'four')
  symlinkSync('nowhere', folder.at('link'))
  const server = createServer().listen(folder.at('socket'))
  await new Promise((resolve) => server.once('listening', resolve))
  const types = new Map<string, number>()
  walked(`${folder.path}/`, ({ name, stat, fullPath, file }) => {
    types.set(name, stat.mode & S_IFMT)
    assert.equal(fullPath, `${folder.path}/${name}`)
    assert.equal(typeof file, name === '' || name === 'd' ? 'number' : 'string')
    if (name === 'link') assert.equal(readLink(file), 'nowhere')
    if (name === 'file') assert.equal(stat.size, 4)
  })
  server.close()
  const expected = { '': S_IFDIR, d: S_IFDIR, file: S_IFREG, link: S_IFLNK, socket: S_IFSOCK }
  assert.deepEqual(Object.fromEntries(types), expected)
})

test('leaves out what it is told to leave out', () => {
  using folder = scratch('walk')
  makeTree(folder.path)
  const paths = walked(folder.path, (name) => {
    if (name.path === 'd/e') name.leaveOut()
  }).map(([path]) => path)
  assert.deepEqual(paths, ['', 'Z', 'a b', 'd', 'd/e', 'd/e.y', '\xff'])
  assert.equal(walked(folder.path, (name) => name.leaveOut()).length, 1)
})

test('notices where another file system is mounted', { skip: needsRoot || needsPrograms('mount', 'umount') }, () => {
  using folder = scratch('walk')
  mkdirSync(folder.at('d/m'), { recursive: true })
  execFileSync('mount', ['-t', 'tmpfs', 'none', folder.at('d/m')])
  try {
    mkdirSync(folder.at('d/m/below'))
    const mounted: string[] = []
    walked(folder.path, ({ path, isMountPoint }) => void (isMountPoint && mounted.push(path)))
    assert.deepEqual(mounted, ['d/m'])
  } finally {
    execFileSync('umount', [folder.at('d/m')])
  }
})

describe('a root', () => {
  test('that is a symlink is followed only when that is asked for', () => {
    using folder = scratch('walk')
    mkdirSync(folder.at('tree/d'), { recursive: true })
    symlinkSync('tree', folder.at('link'))
    assert.throws(() => walked(folder.at('link')), ScanError)
    const paths = [...walkTree(folder.at('link'), { followRoot: true })].length
    assert.equal(paths, 2)
  })

  test('that is not there, or no directory, is an error that says so', () => {
    using folder = scratch('walk')
    writeFileSync(folder.at('file'), '')
    for (const [name, errno] of [
      ['nothing', 'ENOENT'],
      ['file', 'ENOTDIR'],
    ] as const)
      assert.throws(
        () => walked(folder.at(name)),
        (error) => {
          assert.ok(error instanceof ScanError)
          assert.deepEqual(error.failure, { action: 'read', path: folder.at(name), errno })
          return true
        },
      )
  })
})

describe('somebody who writes to the tree', () => {
  test('does not lead the walk through a symlink', () => {
    using folder = scratch('walk')
    makeTree(folder.path)
    const paths = walked(folder.path, ({ path }) => {
      if (path !== 'Z') return
      renameSync(folder.at('d'), folder.at('moved'))
      symlinkSync('/etc', folder.at('d'))
    }).map(([path]) => path)
    assert.deepEqual(paths, ['', 'Z', 'a b', 'd', '\xff'])
  })

  test('does not take the walk out of a directory that it is in', () => {
    using folder = scratch('walk')
    makeTree(folder.path)
    const paths = walked(folder.path, ({ path }) => {
      if (path !== 'd') return
      renameSync(folder.at('d'), folder.at('moved'))
      symlinkSync('/etc', folder.at('d'))
    }).map(([path]) => path)
    assert.deepEqual(paths, ['', 'Z', 'a b', 'd', 'd/e', 'd/e/x', 'd/e.y', '\xff'])
  })

  test('is noticed when a name, or a directory, is gone before it is looked at', () => {
    for (const [at, gone] of [
      ['d/e', 'd/e.y'],
      ['d/e', 'd/e'],
    ] as const) {
      using folder = scratch('walk')
      makeTree(folder.path)
      const remove = ({ path }: WalkedName): void => {
        if (path === at) rmSync(folder.at(gone), { recursive: true })
      }
      assert.throws(() => walked(folder.path, remove), {
        code: 'NOT_FOUND',
        message: `Cannot read "${folder.at(gone)}": there is no such file`,
      })
    }
  })
})

test('gives back its descriptors, wherever it ends', () => {
  using folder = scratch('walk')
  makeTree(folder.path)
  const open = (): number => readdirSync('/proc/self/fd').length
  const before = open()
  walked(folder.path)
  assert.equal(open(), before)
  for (const { path } of walkTree(folder.path)) if (path === 'd/e/x') break
  assert.equal(open(), before)
  assert.throws(() => walked(folder.path, ({ path }) => void (path === 'd/e' && rmSync(folder.at('d/e.y')))))
  assert.equal(open(), before)
})
