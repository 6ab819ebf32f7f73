import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { entriesOf, formatTree, parseEntry } from '../../../test/fixtures/tree-text.ts'
import type { Entry } from '../../formats/entry.ts'
import { Merge } from './apply-layers.ts'
import { type Child, inodeOf, isDirectory, isHardLink } from '../../formats/tree.ts'

function merged(...layers: string[]): string[] {
  const merge = new Merge()
  for (const each of layers) merge.apply(entriesOf(each), 'layer')
  return formatTree(merge.finish())
}

function refuses(name: string, entry: Partial<Entry>): void {
  test(name, () => {
    const merge = new Merge()
    assert.throws(() => merge.apply([{ ...parseEntry('file a'), ...entry }], 'layer'), {
      name: 'OnefoldError',
      code: 'BAD_FORMAT',
    })
  })
}

describe('what a reader should have stopped, Merge stops', () => {
  refuses('a name that climbs', { path: '../a' })
  refuses('a name that climbs inside', { path: 'a/../b' })
  refuses('a dot', { path: './a' })
  refuses('a leading slash', { path: '/a' })
  refuses('a trailing slash', { path: 'a/', type: 'directory' })
  refuses('two slashes', { path: 'a//b' })
  refuses('a NUL', { path: 'a\0b' })
  refuses('a name of 256 bytes', { path: 'a'.repeat(256) })
  refuses('a directory of 256 bytes', { path: `${'a'.repeat(256)}/b` })
  refuses('a path of 4097 bytes', { path: 'a/'.repeat(2048) + 'a' })
  refuses('a whiteout that climbs', { path: 'a/.wh...' })
  refuses('a symlink to 4096 bytes', { type: 'symlink', link: 'a'.repeat(4096) })
  refuses('a symlink with a NUL', { type: 'symlink', link: 'a\0' })
  refuses('a major number of 13 bits', { type: 'char', major: 4096, minor: 0 })
  refuses('a minor number of 21 bits', { type: 'block', major: 0, minor: 1_048_576 })
  refuses('a negative device number', { type: 'block', major: -1, minor: 0 })
})

describe('the longest there can be', () => {
  const longest = 'a'.repeat(255)
  test('a name', () => assert.deepEqual(merged(`file ${longest}`), [`file ${longest}`]))
  test('a whiteout of it', () => assert.deepEqual(merged(`file ${longest}`, `file .wh.${longest}`), []))
  test('a path', () => assert.equal(merged(`file ${'a/'.repeat(2047)}a`).length, 2048))
  test('device numbers', () => assert.deepEqual(merged('char a 4095:1048575'), ['char a 4095:1048575']))
})

describe('Merge', () => {
  test('a layer that is refused has changed nothing', () => {
    const merge = new Merge()
    merge.apply(entriesOf('dir a mode=0700\nfile a/b'), 'layer')
    assert.throws(() => merge.apply(entriesOf('file .wh.a\ndir a\nfile a/c\nlink x a/b\nlink d gone'), 'layer'), {
      code: 'BAD_FORMAT',
    })
    assert.deepEqual(formatTree(merge.finish()), ['dir a mode=0700', 'file a/b'])
  })

  test('can go on after a tree was taken', () => {
    const merge = new Merge()
    merge.apply(entriesOf('file b\nlink a b'), 'layer')
    assert.deepEqual(formatTree(merge.finish()), ['file a', 'link b a'])
    merge.apply(entriesOf('file .wh.a\nlink c b'), 'layer')
    assert.deepEqual(formatTree(merge.finish()), ['file b', 'link c b'])
  })

  test('counts names: of files, and of directories 2 and their subdirectories', () => {
    const merge = new Merge()
    merge.apply(entriesOf('file a\nlink b a\nlink d/c a\ndir d/e\ndir d/f'), 'layer')
    merge.apply(entriesOf('file .wh.b\nfile d/.wh.e'), 'layer')
    const { nlink, children } = merge.finish()
    const [a, d] = ['a', 'd'].map((name) => children.get(name))
    assert.ok(a !== undefined && d !== undefined && !isHardLink(a))
    assert.deepEqual([nlink, a.nlink, inodeOf(d).nlink], [3, 2, 3])
  })

  test('takes the first name in depth-first byte order for the inode', () => {
    assert.deepEqual(merged('file a.b\nlink a/z a.b\nlink a0 a.b'), [
      'dir a',
      'file a/z',
      'link a.b a/z',
      'link a0 a/z',
    ])
  })

  test('an attribute of the lower directory is gone when the upper one does not have it', () => {
    assert.deepEqual(merged('dir a user.x="1"', 'dir a', 'file a/b'), ['dir a', 'file a/b'])
  })
})

describe('work', () => {
  test('a layer costs what it brings, whatever lies below and however many came before', () => {
    const first = new Merge()
    first.apply(manyFiles(20_000), 'layer')
    const lower = first.finish()
    const directory = lower.children.get('d')
    assert.ok(directory !== undefined && isDirectory(directory))
    const names = new CountingMap(directory.children)
    directory.children = names
    const merge = new Merge({}, lower)
    names.steps = 0
    for (let layer = 1; layer <= 100; layer++) {
      merge.apply(entriesOf(`file d/x${layer}\nfile d/.wh.${layer}`), 'layer')
      // One name is taken away; another is looked up and laid down.
      assert.equal(names.steps, 3 * layer)
    }
    merge.finish()
    assert.equal(names.steps, 300 + 20_000)
  })

  test('a million names in one directory, and a layer that touches two of them', () => {
    const merge = new Merge()
    merge.apply(manyFiles(1_000_000), 'layer')
    merge.apply(entriesOf('file d/.wh.7\nfile d/8 "x"'), 'layer')
    const directory = merge.finish().children.get('d')
    assert.equal(directory !== undefined && inodeOf(directory).children?.size, 999_999)
  })
})

/** A directory's names, and how often one was looked up, set, removed or passed by. */
class CountingMap extends Map<string, Child> {
  steps = 0

  constructor(names: ReadonlyMap<string, Child>) {
    super()
    for (const [name, child] of names) super.set(name, child)
  }

  override get(name: string): Child | undefined {
    this.steps++
    return super.get(name)
  }

  override has(name: string): boolean {
    this.steps++
    return super.has(name)
  }

  override set(name: string, child: Child): this {
    this.steps++
    return super.set(name, child)
  }

  override delete(name: string): boolean {
    this.steps++
    return super.delete(name)
  }

  override *entries(): MapIterator<[string, Child]> {
    for (const entry of super.entries()) {
      this.steps++
      yield entry
    }
  }

  override *keys(): MapIterator<string> {
    for (const [name] of this.entries()) yield name
  }

  override *values(): MapIterator<Child> {
    for (const [, child] of this.entries()) yield child
  }

  override [Symbol.iterator](): MapIterator<[string, Child]> {
    return this.entries()
  }

  override forEach(visit: (child: Child, name: string, all: Map<string, Child>) => void): void {
    for (const [name, child] of this.entries()) visit(child, name, this)
  }
}

function* manyFiles(count: number): Generator<Entry> {
  const file = parseEntry('file a')
  for (let index = 0; index < count; index++) yield { ...file, path: `d/${index}` }
}
