import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { OnefoldError } from '../../error.ts'
import { type Entry, newEntry, noContent } from '../../formats/entry.ts'
import { type Directory, isDirectory } from '../../formats/tree.ts'
import { randomTree } from '../../../test/fixtures/random-tree.ts'
import { directory, file, symlink } from '../../../test/fixtures/mount-store.ts'
import { Merge } from '../merge/apply-layers.ts'
import { type UpperOptions, layerOf } from './upper-layer.ts'

type Marks = Readonly<Record<string, string>>

function entry(path: string, type: Entry['type'], more: Partial<Entry> = {}, marks: Marks = {}): { entry: Entry } {
  const xattrs = new Map(Object.entries(marks).map(([name, value]) => [name, Buffer.from(value)]))
  return { entry: newEntry({ path, type, xattrs, ...more }) }
}

const dir = (path: string, marks: Marks = {}): { entry: Entry } => entry(path, 'directory', { mode: 0o755 }, marks)
const whiteout = (path: string): { entry: Entry } => entry(path, 'char')
const T = 'trusted.overlay.'

function lower(): Directory {
  const shared = file({ kind: 'inline', bytes: Buffer.from('shared') })
  shared.nlink = 2
  return directory({
    d: directory({
      a: file({ kind: 'inline', bytes: Buffer.from('aaa') }, { xattrs: new Map([['user.a', Buffer.from('1')]]) }),
      one: shared,
      s: directory({ deep: symlink('x'), two: { linkTo: shared } }),
    }),
    e: directory({ f: file(noContent) }),
    f: file(noContent),
  })
}

/** `path`, and behind it what is not obvious: `path -> link`, `path = content`. */
function layer(names: readonly { entry: Entry }[], options: Partial<UpperOptions> = {}): string[] {
  const all = [dir(''), ...names]
  return [...layerOf(all, { prefix: 'trusted', lower: lower(), keepSelinux: false, ...options })].map(
    ({ entry: made, found }) => {
      const { path, link, content, type, xattrs } = made
      const body = content.kind === 'inline' && found === undefined ? ` = ${Buffer.from(content.bytes).toString()}` : ''
      const named = [...xattrs.keys()].map((name) => ` ${name}`).join('')
      return `${path}${type === 'directory' ? '/' : ''}${link === '' ? '' : ` -> ${link}`}${body}${named}`
    },
  )
}

const said: readonly [what: string, names: readonly { entry: Entry }[], layer: readonly string[]][] = [
  ['nothing', [], []],
  ['a file deleted', [whiteout('f')], ['.wh.f']],
  [
    'whiteouts that share an inode',
    [dir('d'), whiteout('d/a'), entry('f', 'hardlink', { link: 'd/a' })],
    ['d/', 'd/.wh.a', '.wh.f'],
  ],
  ['a whiteout of what the image does not have', [dir('d'), whiteout('d/x'), dir('n'), whiteout('n/a')], ['d/', 'n/']],
  ['an opaque directory', [dir('d', { [`${T}opaque`]: 'y' }), entry('d/n', 'file')], ['d/', 'd/.wh..wh..opq', 'd/n']],
  [
    'opaque where the image has nothing to hide',
    [dir('f', { [`${T}opaque`]: 'y' }), dir('n', { [`${T}opaque`]: 'y' })],
    ['f/', 'n/'],
  ],
  [
    'whiteouts as attributes, in a directory that says it holds such',
    [dir('d', { [`${T}opaque`]: 'x' }), entry('d/a', 'file', {}, { [`${T}whiteout`]: '' })],
    ['d/', 'd/.wh.a'],
  ],
  ['the same in one that does not', [dir('d'), entry('d/a', 'file', {}, { [`${T}whiteout`]: '' })], ['d/', 'd/a']],
  [
    'a renamed directory: all that is still seen of it',
    [whiteout('d'), dir('m', { [`${T}redirect`]: 'd' }), entry('m/b', 'file'), whiteout('m/one'), dir('m/s')],
    ['.wh.d', 'm/', 'm/a = aaa user.a', 'm/b', 'm/s/', 'm/s/deep -> x', 'm/s/two = shared'],
  ],
  [
    'hard links of a renamed directory',
    [dir('m', { [`${T}redirect`]: '/d' })],
    ['m/', 'm/a = aaa user.a', 'm/one = shared', 'm/s/', 'm/s/deep -> x', 'm/s/two -> m/one'],
  ],
  [
    'renamed over another one',
    [whiteout('d'), dir('e', { [`${T}redirect`]: '/d/s' })],
    ['.wh.d', 'e/', 'e/.wh..wh..opq', 'e/deep -> x', 'e/two = shared'],
  ],
  [
    'two that changed places, one inside the other',
    [dir('d', { [`${T}redirect`]: '/d/s' }), dir('d/s', { [`${T}redirect`]: '/d' }), whiteout('d/s/s')],
    ['d/', 'd/.wh..wh..opq', 'd/deep -> x', 'd/s/', 'd/s/a = aaa user.a', 'd/s/one = shared', 'd/two -> d/s/one'],
  ],
  [
    'a redirect to what is no directory',
    [dir('m', { [`${T}redirect`]: '/f' }), dir('n', { [`${T}redirect`]: '/f/x' })],
    ['m/', 'n/'],
  ],
  [
    'metadata only',
    [dir('d'), entry('d/a', 'file', { content: { kind: 'unknown', size: 3 } }, { [`${T}metacopy`]: '', 'user.b': '' })],
    ['d/', 'd/a = aaa user.b'],
  ],
  [
    'metadata only, renamed',
    [entry('n', 'file', { content: { kind: 'unknown', size: 3 } }, { [`${T}metacopy`]: '', [`${T}redirect`]: '/d/a' })],
    ['n = aaa'],
  ],
  [
    'attributes: what is of this machine stays here',
    [
      entry('n', 'file', {}, {
        [`${T}origin`]: 'x', [`${T}overlay.opaque`]: 'y', 'trusted.mine': '1', 'user.overlay.opaque': 'y', 'user.x': '1',
        'security.selinux': 'l', 'security.capability': 'c', 'system.posix_acl_access': 'a', 'btrfs.compression': 'zstd',
      }),
    ], // prettier-ignore
    ['n user.overlay.opaque user.x security.capability system.posix_acl_access'],
  ],
]

describe('an upper directory as a layer', () => {
  for (const [what, names, expected] of said) test(what, () => assert.deepEqual(layer(names), expected))

  test('in a plain directory nothing steers, and a device 0:0 is refused', () => {
    const options = { prefix: undefined, lower: undefined }
    const names = [dir('d', { [`${T}opaque`]: 'y' }), entry('d/a', 'file', {}, { [`${T}metacopy`]: '' })]
    assert.deepEqual(layer(names, options), ['/', 'd/', 'd/a'])
    assert.throws(() => layer([whiteout('x')], options), { code: 'UNSUPPORTED', message: /"x".*0:0/ })
  })

  test('SELinux labels where the image keeps them', () => {
    assert.deepEqual(layer([entry('n', 'file', {}, { 'security.selinux': 'l' })], { keepSelinux: true }), [
      'n security.selinux',
    ])
  })

  test('what was left out is told', () => {
    const notes: string[] = []
    const onWarning = (note: string): void => void notes.push(note)
    layer([entry('n', 'file', {}, { 'trusted.mine': '1', 'user.overlay.origin': '' })], { onWarning })
    assert.equal(notes.length, 2)
    assert.match(notes.join('\n'), /^"n": its trusted.*\n.*--userxattr$/)
  })

  const refused: readonly [what: string, names: readonly { entry: Entry }[], code: string, options?: Partial<UpperOptions>][] = [
    ['a name that hides', [entry('.wh.x', 'file')], 'UNSUPPORTED'],
    ['a path longer than Linux takes', [entry('x'.repeat(5000), 'file')], 'UNSUPPORTED'],
    ['metadata of nothing', [entry('n', 'file', {}, { [`${T}metacopy`]: '' })], 'BAD_FORMAT'],
    ['metadata of a directory', [entry('d', 'file', {}, { [`${T}metacopy`]: '' })], 'BAD_FORMAT'],
    ['metadata of a file of another size', [dir('d'), entry('d/a', 'file', {}, { [`${T}metacopy`]: '' })], 'BAD_FORMAT'],
    ['a redirect that leads up', [dir('m', { [`${T}redirect`]: '../d' })], 'BAD_FORMAT'],
    ['a redirect with userxattr', [dir('m', { 'user.overlay.redirect': 'd' })], 'BAD_FORMAT', { prefix: 'user' }],
  ] // prettier-ignore
  for (const [what, names, code, options] of refused)
    test(`refused: ${what}`, () => assert.throws(() => layer(names, options), { code }))

  test('a deleted name that a layer cannot write is refused', () => {
    const names = ['.wh.x', 'n'.repeat(253)]
    for (const name of names) {
      const below = directory({ [name]: file(noContent) })
      assert.throws(() => layer([whiteout(name)], { lower: below }), { code: 'UNSUPPORTED' })
    }
  })

  test('a lower directory as deep as can be', () => {
    let deep = directory({ end: file(noContent) })
    for (let depth = 0; depth < 2000; depth++) deep = directory({ x: deep })
    const names = layer([dir('m', { [`${T}redirect`]: 'd' })], { lower: directory({ d: deep }) })
    assert.equal(names.length, 2002)
  })

  test('a renamed tree of any kind gives the tree under its new name', () => {
    fc.assert(
      fc.property(randomTree({ mountable: true }), (tree) => {
        const base = directory({ d: tree })
        const moved = [whiteout('d'), dir('m', { [`${T}redirect`]: 'd' })]
        const made = attempt(() => [
          ...layerOf([dir(''), ...moved], { prefix: 'trusted', lower: base, keepSelinux: true }),
        ])
        if (made === undefined) return
        const merge = new Merge({ keepSelinux: true })
        merge.apply(
          made.map((name) => name.entry),
          'layer',
        )
        const renamed = merge.finish().children.get('m')
        assert.ok(renamed !== undefined && isDirectory(renamed))
        assert.deepEqual(count(renamed), count(tree))
      }),
      { numRuns: 60 },
    )
  })
})

function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch (error) {
    if (error instanceof OnefoldError && error.code === 'UNSUPPORTED') return undefined
    throw error
  }
}

/** Names of a tree without its sockets, each with its metadata. */
function count(root: Directory): string[] {
  const names: string[] = []
  const pending: [string, Directory][] = [['', root]]
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const [path, at] = next
    for (const [name, child] of at.children) {
      const inode = 'linkTo' in child ? child.linkTo : child
      if ((inode.mode & 0o170000) === 0o140000) continue
      const { uid, gid, mtime, mtimeNsec, rdev, target } = inode
      const mode = target === '' ? inode.mode : 'symlink'
      const isLinked = inode.nlink > 1 && !isDirectory(inode)
      names.push([`${path}/${name}`, mode, uid, gid, mtime, mtimeNsec, rdev, target.length, isLinked].join(' '))
      if (isDirectory(inode)) pending.push([`${path}/${name}`, inode])
    }
  }
  return names.toSorted()
}
