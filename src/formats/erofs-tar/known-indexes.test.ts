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
import { indexOf } from '../../../test/fixtures/index-layers.ts'
import { digestOf } from '../../digest.ts'

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

function attribute(length: number): { xattrs: Map<string, Uint8Array> } {
  return { xattrs: new Map(length === 0 ? [] : [['user.a', Buffer.alloc(length, 'v')]]) }
}

/** Layers, and the digests of the indexes that mkfs.erofs 1.9.4 wrote for them. */
const known: readonly [what: string, layer: readonly TestEntry[], index: string][] = [
  ['nothing', [], 'sha256:6ce895d0ab84d06ac8dee4440fd4daeae689461dea8428323ddc4ad169e775d4'],
  [
    'many names in one directory',
    range(3000).map((i) => file(`d/${i}`, 'x'.repeat(i % 3))),
    'sha256:2fcc7cd911d1344ee8a46dedf740251c8dabac322a517c11523cb00f49eec8e6',
  ],
  [
    'long names',
    range(40).map((i) => file(`d/${String(i).padStart(2, '0')}${'n'.repeat(i * 6)}`, 'x')),
    'sha256:586e2d0b5274adf520c8efec260b8322dbbab859f3cbbe5a3bf6395f08bd246c',
  ],
  [
    'symlinks of all lengths',
    range(170).map((i) => symlink(`d/${i}`, 't'.repeat(1 + i * 24))),
    'sha256:f677902adb8e0ad76af231dfb533fb1ab7f09b24eb7b2ce66ba2a4334d26a93d',
  ],
  [
    'symlinks with attributes',
    range(80).map((i) => symlink(`d/${i}`, 't'.repeat(400 + i * 3), attribute(i * 7))),
    'sha256:a872d485e74da9cbf2ea310c24d5f6050789b471238fe51300895ccbe6f58974',
  ],
  [
    'attributes beyond a block',
    range(60).map((i) => (i % 2 === 0 ? file(`${i}`, 'x', attribute(i * 31)) : directory(`${i}`, attribute(i * 31)))),
    'sha256:8bedd29dcc6d4e33f0ac159d0fc5c523ce61affcb5baaa6db382c0a50d1473a1',
  ],
  [
    'directories in directories',
    range(300).map((i) => file(`${i % 7}/${i % 5}/${i % 3}/${i}`, 'x'.repeat(i * 5), { mtime: i % 4 })),
    'sha256:2add6c54c90903b09f983bf724b669b5714057b5a1ddf85c83c83a54c73dd452',
  ],
  [
    'owners and times of all sizes',
    [0, 1, 65_535, 65_536, 4_000_000_000].flatMap((id) =>
      [-1, 0, 1, 1_700_000_000, 5_000_000_000].map((mtime) =>
        file(`${id}${mtime}`, 'x', { uid: id, gid: id, mtime, mtimeNsec: mtime === 0 ? 0 : 7, mode: 0o4755 }),
      ),
    ),
    'sha256:b48fbe09618b1d90b9479a21596f95e8641ce8ded135544482fddd7d52897aec',
  ],
  [
    'what is no file',
    [
      directory('', { mode: 0o750, uid: 5, mtime: 9 }),
      special('c', 'char', { major: 4095, minor: 1_048_575 }),
      special('b', 'block', { major: 259, minor: 70_000 }),
      special('f', 'fifo', { mode: 0o600 }),
      file('h', 'x'),
      ...range(300).map((i) => hardlink(`links/${i}`, 'h')),
      whiteout('gone'),
      whiteout('a/b/gone'),
      opaque('a'),
      directory('a', attribute(5)),
    ],
    'sha256:12ca987ad304101e2b93482537554eef42ff943d5f7a88cafe2bd9f749cc3ad3',
  ],
]

describe('the index that mkfs.erofs writes', () => {
  for (const [what, layer, index] of known)
    test(`for ${what}`, () => assert.equal(digestOf(indexOf(tarOf(layer)).bytes), index))
})
