import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import { S_IFDIR, S_IFREG } from '../tree.ts'
import { findEntry, visitEntries } from './erofs-directory.ts'
import { readInode } from './erofs-inode.ts'
import { chunkBased, flatInline, flatPlain } from './erofs-records.ts'
import { ErofsVolume } from './erofs-volume.ts'

const directory = S_IFDIR | 0o755

function names(image: TinyErofs): [name: string, nid: number][] {
  const volume = new ErofsVolume(image.bytes)
  const found: [string, number][] = []
  visitEntries(volume, readInode(volume, 0), (from, to, nid) => {
    found.push([image.bytes.toString('latin1', from, to), nid])
  })
  return found
}

/** A directory of one block of its own and a tail behind the inode. */
function sample(): TinyErofs {
  const image = new TinyErofs()
  image.entries(3 * 4096, [
    ['.', 0],
    ['..', 0],
    ['a', 4],
    ['c\xff', 5],
  ])
  const tailAt = image.inodesAt + 32
  const tail = image.entries(tailAt, [
    ['d', 6],
    ['zz', 2 ** 40],
  ])
  image.compactInode(0, { mode: directory, size: 4096 + tail, layout: flatInline, union: 3 })
  return image
}

test('visits the entries of all blocks in order', () => {
  assert.deepEqual(names(sample()), [
    ['.', 0],
    ['..', 0],
    ['a', 4],
    ['c\xff', 5],
    ['d', 6],
    ['zz', 2 ** 40],
  ])
})

test('finds a name in whichever block it is', () => {
  const volume = new ErofsVolume(sample().bytes)
  const inode = readInode(volume, 0)
  const wanted = {
    '.': 0,
    a: 4,
    'c\xff': 5,
    d: 6,
    zz: 2 ** 40,
    '': undefined,
    b: undefined,
    cc: undefined,
    e: undefined,
  }
  for (const [name, nid] of Object.entries(wanted)) assert.equal(findEntry(volume, inode, name), nid, name)
})

test('a directory of no bytes has no entries', () => {
  const image = new TinyErofs()
  image.compactInode(0, { mode: directory })
  assert.deepEqual(names(image), [])
  const volume = new ErofsVolume(image.bytes)
  assert.equal(findEntry(volume, readInode(volume, 0), 'a'), undefined)
})

describe('a directory is refused', () => {
  const at = 3 * 4096
  const odd = /holds names that overlap, leave their block or cannot be names/
  const cases: [what: string, code: string, message: RegExp, spoil: (image: TinyErofs) => void][] = [
    [
      'that is a file',
      'BAD_FORMAT',
      /inode 0 is no directory/,
      (image) => void image.compactInode(0, { mode: S_IFREG }),
    ],
    [
      'that lies in chunks',
      'UNSUPPORTED',
      /lies in chunks/,
      (image) => void image.compactInode(0, { mode: directory, size: 4096, layout: chunkBased }),
    ],
    [
      'with blocks outside of the image',
      'BAD_FORMAT',
      /the data of inode 0 ends at byte/,
      (image) => void image.compactInode(0, { mode: directory, size: 4096, layout: flatPlain, union: 8 }),
    ],
    [
      'with a block that has no room for an entry',
      'BAD_FORMAT',
      /too short for an entry/,
      (image) => void image.compactInode(0, { mode: directory, size: 11, layout: flatInline, union: 3 }),
    ],
    [
      'with entries out of order',
      'BAD_FORMAT',
      /holds "a" out of order/,
      (image) =>
        void image.entries(at, [
          ['b', 1],
          ['a', 1],
        ]),
    ],
    [
      'with a name twice',
      'BAD_FORMAT',
      /holds "a" out of order/,
      (image) =>
        void image.entries(at, [
          ['a', 1],
          ['a', 2],
        ]),
    ],
    ['with a slash in a name', 'BAD_FORMAT', odd, (image) => void image.entries(at, [['a/b', 1]])],
    [
      'with a name of no bytes',
      'BAD_FORMAT',
      odd,
      (image) =>
        void image.entries(at, [
          ['', 1],
          ['a', 1],
        ]),
    ],
    ['with a name that is too long', 'BAD_FORMAT', odd, (image) => void image.entries(at, [['n'.repeat(256), 1]])],
    ['whose names begin in an entry', 'BAD_FORMAT', odd, (image) => image.bytes.writeUInt16LE(13, at + 8)],
    ['whose names begin behind the block', 'BAD_FORMAT', odd, (image) => image.bytes.writeUInt16LE(12 * 342, at + 8)],
    ['with names that overlap', 'BAD_FORMAT', odd, (image) => image.bytes.writeUInt16LE(48, at + 12 + 8)],
    [
      'with an entry beyond 2^53',
      'BAD_FORMAT',
      /an entry of directory 0 is beyond 2\^53/,
      (image) => image.bytes.fill(0xff, at, at + 8),
    ],
  ]
  for (const [what, code, message, spoil] of cases)
    test(what, () => {
      const image = sample()
      spoil(image)
      assert.throws(() => names(image), { code, message })
    })
})
