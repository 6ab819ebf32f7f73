import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type TestEntry,
  directory,
  file,
  hardlink,
  opaque,
  special,
  symlink,
  tarOf,
  whiteout,
} from '../../../test/fixtures/images.ts'
import { indexOf, meaningOfIndex, meaningOfTar, readIndexOf } from '../../../test/fixtures/index-layers.ts'
import { header, pax, tar, file as tarFile } from '../../../test/fixtures/tar-bytes.ts'

function xattr(name: string, length = 1): { xattrs: Map<string, Uint8Array> } {
  return { xattrs: new Map([[name, Buffer.alloc(length, 'v')]]) }
}

/** What an index cannot hold, and the nearest layer that it can. */
const lossy: readonly [what: string, said: RegExp, layer: readonly TestEntry[], nearest: readonly TestEntry[]][] = [
  [
    'a fraction of the first second',
    /"a".* hold a fraction of the second 0$/,
    [file('a', 'x', { mtimeNsec: 5 })],
    [file('a', 'x')],
  ],
  ['a file twice', /"a".* hold a name twice$/, [file('a', 'old'), file('a', 'new')], [file('a', 'new')]],
  [
    'a directory twice',
    /"a".* hold a name twice$/,
    [directory('a', xattr('user.x')), file('a/b'), directory('a', { mode: 0o700 })],
    [directory('a', { mode: 0o700 }), file('a/b')],
  ],
  ['the root twice', /"".* hold a name twice$/, [directory('', { mode: 0o700 }), directory('')], [directory('')]],
  ['a file over a directory', /"a".* a name twice$/, [directory('a'), file('a/b'), file('a')], [file('a')]],
  [
    'a name of a linked file twice',
    /"a".* a name twice$/,
    [file('a', 'old'), hardlink('b', 'a'), file('a', 'new')],
    [file('b', 'old'), file('a', 'new')],
  ],
  ['a whiteout twice', /"\.wh\.a".* a name twice$/, [whiteout('a'), whiteout('a')], [whiteout('a')]],
  [
    'an opaque marker twice',
    /a name twice$/,
    [directory('a'), opaque('a'), opaque('a')],
    [directory('a'), opaque('a')],
  ],
  [
    'a whiteout of a file that is there',
    /"\.wh\.a".* a whiteout and something else of one name$/,
    [file('a', 'x'), whiteout('a')],
    [file('a', 'x')],
  ],
  [
    'a whiteout before the file',
    /"a".* a whiteout and something else of one name$/,
    [whiteout('a'), file('a', 'x')],
    [file('a', 'x')],
  ],
  [
    'a whiteout of a directory that is there',
    /"\.wh\.a".* a whiteout and something else of one name$/,
    [directory('a'), whiteout('a')],
    [directory('a'), opaque('a')],
  ],
  [
    'a whiteout before the directory',
    /"a".* a whiteout and something else of one name$/,
    [whiteout('a'), directory('a')],
    [directory('a'), opaque('a')],
  ],
  [
    'an order to overlayfs',
    /"a".* the attribute "trusted\.overlay\.opaque", by which/,
    [directory('a', xattr('trusted.overlay.opaque'))],
    [directory('a')],
  ],
  [
    'a long attribute',
    /"b".* 65536 bytes of the attribute "user.x"$/,
    [file('a', 'x', xattr('user.x', 65_535)), file('b', 'x', xattr('user.x', 65_536))],
    [file('a', 'x', xattr('user.x', 65_535)), file('b', 'x')],
  ],
  [
    'too many attributes',
    /"a".* 3000\d\d bytes of attributes$/,
    [file('a', 'x', { xattrs: manyXattrs(5) })],
    [file('a', 'x', { xattrs: manyXattrs(4) })],
  ],
]

function manyXattrs(count: number): Map<string, Uint8Array> {
  return new Map(Array.from({ length: count }, (_, i) => [`user.${i}`, Buffer.alloc(60_000, 'v')]))
}

describe('what an index cannot hold', () => {
  for (const [what, said, layer, nearest] of lossy)
    test(`${what} is refused, or becomes the nearest that it can`, () => {
      const before = tarOf(layer)
      assert.throws(() => indexOf(before), { code: 'UNSUPPORTED', message: said, hint: /--lossy/ })
      const losses: string[] = []
      const index = indexOf(before, { onLoss: (_, { message }) => void losses.push(message) })
      assert.equal(losses.length, 1)
      assert.match(losses[0] ?? '', said)
      assert.deepEqual(meaningOfIndex(readIndexOf(before, index), before), meaningOfTar(tarOf(nearest)))
    })

  const hopeless: readonly [what: string, said: RegExp, layer: Uint8Array][] = [
    ['a link to what is not there', /"b".* a hard link to what is not in the layer/, tarOf([hardlink('b', 'a')])],
    ['a link to a directory', /"b".* a hard link to/, tarOf([directory('a'), hardlink('b', 'a')])],
    ['a link to what is deleted', /"b".* a hard link to/, tarOf([whiteout('a'), hardlink('b', 'a')])],
    ['a file below a file', /"a\/b".* below something that is no directory/, tarOf([file('a'), file('a/b')])],
    ['a file below a symlink', /"a\/b".* below something/, tarOf([symlink('a', 'c'), file('a/b')])],
    ['a whiteout of nothing', /"a\/\.wh\.".* a whiteout of no name/, tarOf([file('a/.wh.')])],
    ['a whiteout of its directory', /"a\/\.wh\.\.".* of no name/, tarOf([file('a/.wh..')])],
    ['a sparse file', /"a".* a sparse file/, tar(sparseFile())],
  ]
  for (const [what, said, layer] of hopeless)
    test(`${what} is refused also where losses are allowed`, () => {
      const refusal = { code: 'UNSUPPORTED', message: said, hint: /tar\+zstd\.$/ }
      assert.throws(() => indexOf(layer), refusal)
      assert.throws(() => indexOf(layer, { onLoss: assert.fail }), refusal)
    })
})

function sparseFile(): Buffer {
  const map = pax({ 'GNU.sparse.map': '0,1', 'GNU.sparse.size': '5000' })
  return Buffer.concat([map, tarFile({ name: 'a' }, 'x')])
}

describe('what an index holds in its own way', () => {
  const held: readonly [what: string, layer: readonly TestEntry[]][] = [
    ['nothing', []],
    ['a device 0:0, which is a whiteout', [special('a', 'char'), special('b', 'block')]],
    ['an opaque root', [opaque(''), file('a')]],
    ['names of AUFS', [file('.wh..wh.aufs'), file('.wh..wh.plnk/1', 'x'), hardlink('a', '.wh..wh.plnk/1')]],
    ['a whiteout in a directory without an entry', [whiteout('a/b/c')]],
    ['a directory that comes after what is in it', [file('a/b', 'x'), directory('a', { mode: 0o700, mtime: 9 })]],
    [
      'a directory that looks as if it had no entry',
      [directory('a', { mtime: 5 }), directory('a/b', { mtime: 5 }), file('a/c/d')],
    ],
    ['a root that looks as if it had no entry', [directory('', { mode: 0o777 }), file('a')]],
  ]
  for (const [what, layer] of held)
    test(what, () => {
      const bytes = tarOf(layer)
      assert.deepEqual(meaningOfIndex(readIndexOf(bytes, indexOf(bytes)), bytes), meaningOfTar(bytes))
    })

  test('a tar without an end', () => {
    const bytes = header({ name: 'a' })
    assert.deepEqual(meaningOfIndex(readIndexOf(bytes, indexOf(bytes)), bytes), meaningOfTar(bytes))
  })
})
