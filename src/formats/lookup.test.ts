import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { treeOf } from '../../test/fixtures/tree-text.ts'
import { openErofs } from './composefs/image-view.ts'
import { writeErofs } from './composefs/write-image.ts'
import { type FoundInode, type LookupOptions, lookup } from './lookup.ts'
import type { Directory, InodeInfo } from './tree.ts'

type Lookup = (path: string, options?: LookupOptions) => FoundInode<InodeInfo> | undefined

const inTree =
  (tree: Directory): Lookup =>
  (path, options) =>
    lookup(tree, path, options)

function inImage(tree: Directory): Lookup {
  const view = openErofs(writeErofs(tree).bytes)
  return (path, options) => view.lookup(path, options)
}

const root = treeOf(`
  file etc/passwd "root"
  dir usr/lib
  file usr/lib/a
  symlink lib usr/lib
  symlink abs /usr/lib
  symlink up ../../../etc/passwd
  symlink usr/back ..
  symlink deep lib/../lib/./a
  symlink loop loop
  symlink ping pong
  symlink pong ping
  symlink nowhere gone/away
  symlink slash a/b/
  symlink dir/link /etc
`)

const kinds: readonly [kind: string, open: (tree: Directory) => Lookup][] = [
  ['a tree', inTree],
  ['an image', inImage],
]
for (const [kind, open] of kinds)
  describe(`lookup in ${kind}`, () => {
    const find = open(root)
    const found: readonly [path: string, at: string][] = [
      ['', ''],
      ['/', ''],
      ['..', ''],
      ['/../..', ''],
      ['etc/passwd', 'etc/passwd'],
      ['//etc/./passwd', 'etc/passwd'],
      ['etc/../usr', 'usr'],
      ['lib', 'usr/lib'],
      ['lib/a', 'usr/lib/a'],
      ['abs/a', 'usr/lib/a'],
      ['up', 'etc/passwd'],
      ['usr/back/etc', 'etc'],
      ['usr/back', ''],
      ['deep', 'usr/lib/a'],
      ['dir/link/passwd', 'etc/passwd'],
      ['usr/lib/', 'usr/lib'],
    ]
    for (const [path, at] of found)
      test(`${path || 'nothing'} is ${at || 'the root'}`, () => assert.equal(find(path)?.path, at))

    for (const path of [
      'gone',
      'etc/gone',
      'etc/passwd/',
      'etc/passwd/.',
      'etc/passwd/..',
      'nowhere',
      'lib/b',
      'slash',
    ])
      test(`${path} is nothing`, () => assert.equal(find(path), undefined))

    for (const path of ['loop', 'ping', 'loop/x'])
      test(`${path} goes round`, () => assert.throws(() => find(path), { code: 'BAD_FORMAT' }))

    test('a symlink in the last place can be kept', () => {
      assert.equal(find('lib', { follow: false })?.inode.target, 'usr/lib')
      assert.equal(find('loop', { follow: false })?.path, 'loop')
      assert.equal(find('lib/a', { follow: false })?.path, 'usr/lib/a')
      assert.equal(find('lib/', { follow: false })?.path, 'usr/lib')
    })

    test('forty symlinks are followed, one more is not', () => {
      const chain = (length: number): string =>
        Array.from({ length }, (_, index) => `symlink l${index} l${index + 1}\n`).join('') + `file l${length}\n`
      assert.equal(open(treeOf(chain(40)))('l0')?.path, 'l40')
      assert.throws(() => open(treeOf(chain(41)))('l0'), { code: 'BAD_FORMAT' })
    })

    test('targets that grow at every step end all the same', () => {
      const wide = open(treeOf(`symlink a ${'a/'.repeat(2000)}a`))
      assert.throws(() => wide('a'), { code: 'BAD_FORMAT' })
    })
  })
