import assert from 'node:assert/strict'
import { test } from 'node:test'
import { treeOf } from '../../test/fixtures/tree-text.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { treeToJson } from './tree-json.ts'

test('every field of docs/tree.md has its form', () => {
  const root = treeOf(`
    dir / mtime=5
    file a "hi" mode=4755 owner=1:2 mtime=-1.5 user.z="1" user.a="\\u0000"
    file big "x"*100
    char c 1:3 mode=0666
    symlink "caf\\u00c3\\u00a9" "\\u00ff"
    file empty
    fifo p
    link z/a a
  `)
  const usual = { mode: '0644', uid: 0, gid: 0, mtime: 0 }
  const a = {
    type: 'file',
    mode: '4755',
    uid: 1,
    gid: 2,
    mtime: -1,
    mtimeNsec: 500_000_000,
    size: 2,
    inline: 'aGk=',
    xattrs: [
      { name: 'user.a', value: 'AA==' },
      { name: 'user.z', value: 'MQ==' },
    ],
    names: 2,
  }
  assert.deepEqual(
    [...treeToJson(root)],
    [
      { ...usual, path: '/', type: 'directory', mode: '0755', mtime: 5 },
      { ...a, path: '/a' },
      { ...usual, path: '/big', type: 'file', size: 100, object: verityDigest(Buffer.alloc(100, 'x')) },
      { ...usual, path: '/c', type: 'char', mode: '0666', device: [1, 3] },
      { ...usual, path: '/café', type: 'symlink', mode: '0777', target: { hex: 'ff' } },
      { ...usual, path: '/empty', type: 'file', size: 0 },
      { ...usual, path: '/p', type: 'fifo' },
      { ...usual, path: '/z', type: 'directory', mode: '0755' },
      { ...a, path: '/z/a', link: '/a' },
    ],
  )
})
