import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ErofsTarget, targetTree } from '../../../test/fixtures/erofs-target.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { randomTree } from '../../../test/fixtures/random-tree.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { walk } from '../../image/tree-json.ts'
import { compact } from '../erofs/erofs-records.ts'
import { type Directory, sortedNames } from '../tree.ts'
import { openErofs } from './image-view.ts'
import { readErofs } from './read-image.ts'
import { writeErofs } from './write-image.ts'

describe('openErofs', () => {
  test('shows file by file what readErofs shows at once', () => {
    fc.assert(
      fc.property(randomTree(), (tree) => {
        const { bytes } = writeErofs(tree)
        const view = openErofs(bytes)
        for (const { path, inode } of walk(readErofs(bytes))) {
          const info = view.lookup(path, { follow: false })?.inode
          assert.ok(info, path)
          const { nid: _, ...found } = info
          const { children, ...want } = inode
          assert.deepEqual(found, want)
          if (children !== undefined)
            assert.deepEqual(
              view.list(info).map(([name]) => name),
              sortedNames(inode as Directory),
            )
        }
      }),
      { numRuns: 60 },
    )
  })

  const view = openErofs(writeErofs(targetTree()).bytes)

  test('finds nothing that is not there, and no stub', () => {
    for (const path of ['nope', 'etc/nope', 'etc/passwd/x', '00', 'ff', 'etc/passwd/.', 'etc/passwd/..'])
      assert.equal(view.lookup(path), undefined, path)
  })

  test('lists no directory whose inodes claim more than the image has', () => {
    const image = new ErofsTarget(writeErofs(targetTree()).bytes)
    image.view.setUint32(image.at('etc') + compact.size, 0x7ffffff0, true)
    const hostile = openErofs(image.bytes)
    assert.throws(() => hostile.list(hostile.root), { code: 'BAD_FORMAT', message: /claim more data than/ })
  })

  test('gives the content of inline files', () => {
    const passwd = view.lookup('etc/passwd')?.inode
    assert.ok(passwd)
    assert.equal(Buffer.concat([...view.data(passwd)]).toString(), 'root')
  })

  const flavours = [
    '',
    '-Enoinline_data',
    '--chunksize=4096',
    '-Eforce-inode-extended',
    '-Eforce-chunk-indexes --chunksize=4096',
  ]
  for (const options of flavours)
    test(`reads an image of mkfs.erofs ${options}`, { skip: needsPrograms('mkfs.erofs') }, () => {
      using folder = scratch('erofs')
      const files = { small: 100, 'd/mid': 10_000, 'd/e/big': 300_001 }
      mkdirSync(folder.at('in', 'd', 'e'), { recursive: true })
      for (const [name, size] of Object.entries(files)) writeFileSync(folder.at('in', name), Buffer.alloc(size, name))
      symlinkSync('../x', folder.at('in', 'd', 'link'))
      linkSync(folder.at('in', 'small'), folder.at('in', 'd', 'hard'))
      execFileSync('mkfs.erofs', [...options.split(' ').filter(Boolean), folder.at('image'), folder.at('in')], {
        stdio: 'ignore',
      })
      const plain = openErofs(readFileSync(folder.at('image')))
      assert.equal(plain.version, undefined)
      for (const [name, size] of Object.entries(files)) {
        const info = plain.lookup(name)?.inode
        assert.ok(info)
        assert.ok(Buffer.alloc(size, name).equals(Buffer.concat([...plain.data(info)])), name)
      }
      assert.equal(plain.lookup('d/link', { follow: false })?.inode.target, '../x')
      assert.equal(plain.lookup('d/hard')?.inode.nlink, 2)
      assert.deepEqual(
        plain.list(plain.root).map(([name]) => name),
        ['d', 'small'],
      )
    })
})
