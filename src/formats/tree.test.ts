import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { noContent } from './entry.ts'
import { type Child, type Directory, type Inode, S_IFREG, emptyDirectory, isHardLink, namesBelow } from './tree.ts'

function directory(children: Record<string, Child>): Directory {
  return { ...emptyDirectory(), children: new Map(Object.entries(children)) }
}

function file(): Inode {
  return { ...emptyDirectory(), mode: S_IFREG, nlink: 1, content: noContent, children: undefined }
}

describe('the names below a directory', () => {
  test('come depth-first, siblings in byte order whatever the order they were put in', () => {
    const linked = file()
    const tree = directory({
      z: file(),
      d: directory({ y: { linkTo: linked }, x: directory({}), '\xff': file() }),
      'd.e': linked,
      D: file(),
    })
    assert.deepEqual(
      [...namesBelow(tree)].map(({ path, name, child }) => [path, name, isHardLink(child)]),
      [
        ['D', 'D', false],
        ['d', 'd', false],
        ['d/x', 'x', false],
        ['d/y', 'y', true],
        ['d/\xff', '\xff', false],
        ['d.e', 'd.e', false],
        ['z', 'z', false],
      ],
    )
  })

  test('say which directory they are in, where another child may be put', () => {
    const tree = directory({ a: directory({ b: directory({ gone: file() }) }), c: file() })
    const seen: string[] = []
    for (const { directory: parent, name, path } of namesBelow(tree)) {
      seen.push(path)
      if (path === 'a') parent.children.delete('c')
      if (path === 'a/b') parent.children.set(name, file())
    }
    assert.deepEqual(seen, ['a', 'a/b', 'a/b/gone'])
  })

  test('may be deeper than the stack of the engine', () => {
    let tree = directory({})
    for (let depth = 0; depth < 100_000; depth++) tree = directory({ d: tree })
    let names = 0
    for (const _ of namesBelow(tree)) names++
    assert.equal(names, 100_000)
  })
})
