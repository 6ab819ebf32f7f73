import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { contentOf, treeOf } from '../../test/fixtures/tree-text.ts'
import type { Content } from '../formats/entry.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { changedFields, diffTrees } from './diff-trees.ts'
import { emptyDirectory } from '../formats/tree.ts'

function linesOf(before: string, after: string): string[] {
  return [...diffTrees(treeOf(before), treeOf(after))].map((change) =>
    change.kind === 'changed' ? `${change.path}: ${change.fields.join(' ')}` : `${change.kind} ${change.path}`,
  )
}

describe('diffTrees', () => {
  const cases: readonly [name: string, before: string, after: string, changes: string[]][] = [
    ['equal trees', 'file a "x" user.a="1"\nlink b a', 'file a "x" user.a="1"\nlink b a', []],
    ['an addition', 'file b', 'file a\nfile b', ['added a']],
    ['a removal with all below', 'file a/b/c\nfile d', 'file d', ['removed a', 'removed a/b', 'removed a/b/c']],
    ['permissions', 'file a mode=0600', 'file a mode=4600', ['a: mode']],
    ['owner', 'file a owner=1:2', 'file a owner=1:3', ['a: owner']],
    ['nanoseconds', 'dir a mtime=1.5', 'dir a mtime=1.500000001', ['a: mtime']],
    ['device number', 'char a 1:3', 'char a 1:5', ['a: device']],
    ['size', 'file a "x"', 'file a "xx"', ['a: size content']],
    ['content', 'file a "x"*100', 'file a "y"*100', ['a: content']],
    ['target', 'symlink a b', 'symlink a c', ['a: target']],
    ['value of an attribute', 'file a user.x="1"', 'file a user.x="2"', ['a: xattrs']],
    ['name of an attribute', 'file a user.x="1"', 'file a user.y="1"', ['a: xattrs']],
    ['type', 'file a mode=0600 "x"', 'dir a\nfile a/b', ['a: type', 'added a/b']],
    ['the root', 'dir / mode=0700', 'dir /', [': mode']],
    ['a link that became a copy', 'file a\nlink b a', 'file a\nfile b', ['a: links', 'b: links']],
    ['one link less', 'file a\nlink b a\nlink c a', 'file a\nlink b a', ['a: links', 'b: links', 'removed c']],
    ['the first name gone', 'file a\nlink b a\nlink c a', 'file b\nlink c b', ['removed a', 'b: links', 'c: links']],
    ['other partners', 'file a\nlink b a\nfile c', 'file a\nfile b\nlink c a', ['b: links', 'c: links']],
    [
      'partners swapped',
      'file a\nlink b a\nfile c\nlink d c',
      'file a\nlink c a\nfile b\nlink d b',
      ['b: links', 'c: links', 'd: links'],
    ],
    ['depth before breadth', '', 'file a/z\nfile a.b\nfile b', ['added a', 'added a/z', 'added a.b', 'added b']],
  ]
  for (const [name, before, after, changes] of cases)
    test(name, () => assert.deepEqual(linesOf(before, after), changes))

  test('a hundred thousand names in one directory', () => {
    const names = Array.from({ length: 100_000 }, (_, index) => `file ${index}\n`).join('')
    assert.equal(linesOf(names, 'file x').length, 100_001)
  })
})

describe('changedFields', () => {
  const bytes = Buffer.alloc(40, 7)
  const inline: Content = { kind: 'inline', bytes }
  const cases: readonly [name: string, a: Content, b: Content, fields: string[]][] = [
    ['inline and an object of the same bytes', inline, { kind: 'object', digest: verityDigest(bytes), size: 40 }, []],
    ['inline and another object', inline, { ...contentOf(Buffer.alloc(65)), size: 40 } as Content, ['content']],
    ['nothing known but the size', inline, { kind: 'unknown', size: 40 }, []],
    ['nothing known but another size', inline, { kind: 'unknown', size: 41 }, ['size', 'content']],
    ['empty and inline without bytes', { kind: 'empty' }, { kind: 'inline', bytes: new Uint8Array() }, []],
  ]
  for (const [name, a, b, fields] of cases)
    test(name, () =>
      assert.deepEqual(changedFields({ ...emptyDirectory(), content: a }, { ...emptyDirectory(), content: b }), fields),
    )
})
