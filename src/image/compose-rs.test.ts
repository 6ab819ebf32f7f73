import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { directory, file, hardlink, symlink, tarOf, whiteout } from '../../test/fixtures/images.ts'
import { entriesOfTar } from '../../test/fixtures/tar-entries.ts'
import { vectors, withoutVectors } from '../../test/vectors.ts'
import type { Algorithm, VerityDigest } from '../digest.ts'
import { readErofs } from '../formats/composefs/read-image.ts'
import { Verity512Hasher } from '../formats/fsverity/verity-digest.ts'
import { type Child, type Directory, inodeOf, isDirectory } from '../formats/tree.ts'
import { ComposefsRsTree, composeComposefsRs, renameContents } from './compose-rs.ts'
import { diffTrees } from './diff-trees.ts'

const folder = vectors('one-tree') ?? ''

/** What cfsctl 0.9 says of the plain image `gz`, by algorithm and layout. */
const oneTree: readonly (readonly [Algorithm, 1 | 2, string])[] = [
  ['sha256', 1, 'deea9231e6e72c6ca69afcd1f57c95aea6ae2142c4296f904dcc92269269d790'],
  ['sha256', 2, '4082bba4cee5b36ec3601873b669a2cf31aff51268332d6a5ec81e0f9dd64d36'],
  [
    'sha512',
    1,
    '983dada456ef9bd0f1c5040c8961033f072147a0aaeaf85a4d85ac9a031284a1ddf6092b665c8ed1cc4adb3c42a9695b8f43384dc0e0b6f5a0fc10c0a3902741',
  ],
  [
    'sha512',
    2,
    'e723a2a52e4e48b26c31a6e6edced892ebca7469afc9e6ba6c8fbc2a7873a35f4ab6744171393a09692a7876e732bfce8d77fdf1b4359537284ccd853c5fe32c',
  ],
]

describe('the id that composefs-rs computes', () => {
  for (const [algorithm, layout, id] of oneTree)
    test(`of the one tree: ${algorithm}, layout ${layout}`, { skip: withoutVectors('one-tree') }, () => {
      const tars = ['layer1.tar', 'layer2.tar'].map((name) => readFileSync(`${folder}/${name}`))
      const { bytes, digest } = composed(tars, algorithm, layout)
      assert.equal(digest, id)
      assertSameTree(readErofs(bytes), tars, algorithm)
    })

  const small = [
    tarOf([
      directory('usr', { mode: 0o750, uid: 3, mtime: 77 }),
      directory('run', { mtime: 5 }),
      file('run/gone', 'x'),
      file('usr/object', Buffer.alloc(5000, 'a'), { xattrs: new Map([['user.a', Buffer.from('1')]]) }),
      hardlink('usr/link', 'usr/object'),
      file('usr/same', Buffer.alloc(5000, 'a')),
      symlink('usr/up', '../run'),
      file('usr/hidden', 'y'),
    ]),
    tarOf([directory('usr', { mode: 0o755, mtime: 78 }), whiteout('usr/hidden'), file('usr/inline', 'z')]),
  ]
  // The first half of what cfsctl 0.9 says of the same layers.
  for (const [algorithm, layout, id] of [
    ['sha256', 1, '9956e70363c3ace9bbdc60a7d4429c39'],
    ['sha256', 2, '10404390155b187226cda852b4941ac4'],
    ['sha512', 1, 'b3f56403617c07b7cb856eccde2c6923'],
    ['sha512', 2, '9651eefcf3a42840f9be68d711b7b0d8'],
  ] as const)
    test(`of a small tree: ${algorithm}, layout ${layout}`, () => {
      const { bytes, digest } = composed(small, algorithm, layout)
      assert.equal(digest.slice(0, 32), id)
      assertSameTree(readErofs(bytes), small, algorithm)
    })

  for (const [what, entries] of [
    ['an entry whose parent has none', [directory('usr'), file('etc/a', 'x')]],
    ['an image without /usr', [directory('etc')]],
  ] as const)
    test(`does not exist for ${what}`, () => {
      assert.throws(() => composed([tarOf(entries)], 'sha256', 1), { code: 'UNSUPPORTED' })
    })

  test('takes the root from /usr and empties /run', () => {
    const root = treeOf(small)
    assert.deepEqual([root.mode & 0o7777, root.uid, root.mtime], [0o755, 0, 78])
    const run = root.children.get('run')
    assert.ok(run !== undefined && isDirectory(run))
    assert.deepEqual([run.children.size, run.mtime], [0, 78])
  })
})

/** The sha512 digests of contents, as a store would compute them. */
const wide = new Map<VerityDigest, string>()

function treeOf(tars: readonly Uint8Array[]): Directory {
  const tree = new ComposefsRsTree()
  for (const tar of tars)
    tree.apply(
      entriesOfTar(tar, (content, bytes) => {
        if (content.kind !== 'object') return
        const hasher = new Verity512Hasher()
        hasher.update(bytes)
        wide.set(content.digest, hasher.digest())
      }),
    )
  return tree.finish()
}

function composed(
  tars: readonly Uint8Array[],
  algorithm: Algorithm,
  layout: 1 | 2,
): ReturnType<typeof composeComposefsRs> {
  const root = treeOf(tars)
  if (algorithm === 'sha512') renameContents(root, (digest) => wide.get(digest) ?? '')
  return composeComposefsRs(root, algorithm, layout)
}

/** Times have whole seconds in layout 2, and so have those of the trees here. */
function assertSameTree(read: Directory, tars: readonly Uint8Array[], algorithm: Algorithm): void {
  const root = treeOf(tars)
  if (algorithm === 'sha512') renameContents(root, (digest) => wide.get(digest) ?? '')
  assert.deepEqual([...diffTrees(root, read)], [])
  assert.deepEqual(linksOf(read), linksOf(root))
}

function linksOf(root: Directory): [string, number][] {
  const sorted = [...root.children].sort(([a], [b]) => (a < b ? -1 : 1))
  return sorted.flatMap(([name, child]: [string, Child]): [string, number][] => {
    const inode = inodeOf(child)
    return isDirectory(inode) ? linksOf(inode) : [[name, inode.nlink]]
  })
}
