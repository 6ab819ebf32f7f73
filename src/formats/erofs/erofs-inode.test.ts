import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import { S_IFREG } from '../tree.ts'
import { readInode } from './erofs-inode.ts'
import { compact, extended, superblock, superblockAt } from './erofs-records.ts'
import { ErofsVolume } from './erofs-volume.ts'

const file = S_IFREG | 0o644

test('reads a compact record, whose time counts from when the image was built', () => {
  const image = new TinyErofs()
  image.bytes.writeBigInt64LE(1000n, superblockAt + superblock.buildTime)
  image.field('buildTimeNsec', 42)
  image.compactInode(2, { mode: file, size: 70_000, layout: 2, union: 9, xattrCount: 3 })
  const at = image.inodesAt + 64
  image.bytes.writeUInt16LE(5, at + compact.nlink)
  image.bytes.writeUInt32LE(7, at + compact.mtimeDelta)
  image.bytes.writeUInt32LE(11, at + compact.ino)
  image.bytes.writeUInt16LE(0xffff, at + compact.uid)
  image.bytes.writeUInt16LE(13, at + compact.gid)
  assert.deepEqual(readInode(new ErofsVolume(image.bytes), 2), {
    nid: 2,
    ino: 11,
    mode: file,
    uid: 0xffff,
    gid: 13,
    nlink: 5,
    size: 70_000,
    mtime: 1007,
    mtimeNsec: 42,
    layout: 2,
    union: 9,
    xattrsAt: at + 32,
    xattrBytes: 20,
    tailAt: at + 52,
  })
})

test('reads an extended record, which has a time of its own and room for large numbers', () => {
  const image = new TinyErofs()
  image.bytes.writeBigInt64LE(1000n, superblockAt + superblock.buildTime)
  image.extendedInode(1, { mode: file, size: 2 ** 40, layout: 4, union: 31 })
  const at = image.inodesAt + 32
  image.bytes.writeUInt32LE(11, at + extended.ino)
  image.bytes.writeUInt32LE(3_000_000, at + extended.uid)
  image.bytes.writeUInt32LE(4_000_000_000, at + extended.gid)
  image.bytes.writeBigInt64LE(-1n, at + extended.mtime)
  image.bytes.writeUInt32LE(999, at + extended.mtimeNsec)
  image.bytes.writeUInt32LE(70_000, at + extended.nlink)
  assert.deepEqual(readInode(new ErofsVolume(image.bytes), 1), {
    nid: 1,
    ino: 11,
    mode: file,
    uid: 3_000_000,
    gid: 4_000_000_000,
    nlink: 70_000,
    size: 2 ** 40,
    mtime: -1,
    mtimeNsec: 999,
    layout: 4,
    union: 31,
    xattrsAt: at + 64,
    xattrBytes: 0,
    tailAt: at + 64,
  })
})

describe('an inode is refused', () => {
  const last = (8 * 4096 - 4096) / 32
  const cases: [what: string, nid: number, code: string, message: RegExp, write: (image: TinyErofs) => void][] = [
    ['that begins behind the image', last, 'BAD_FORMAT', /inode 896 ends at byte/, () => {}],
    ['with a number beyond all images', 2 ** 53, 'BAD_FORMAT', /ends at byte/, () => {}],
    [
      'of which the image has but half',
      last - 1,
      'BAD_FORMAT',
      /inode 895 ends at byte/,
      (image) => image.bytes.writeUInt16LE(1, image.bytes.length - 32),
    ],
    [
      'of an unknown format',
      0,
      'UNSUPPORTED',
      /inode 0 has format 0x10/,
      (image) => image.bytes.writeUInt16LE(16, image.inodesAt),
    ],
    [
      'of no file type',
      0,
      'BAD_FORMAT',
      /inode 0 has mode 0644/,
      (image) => void image.compactInode(0, { mode: 0o644 }),
    ],
    [
      'with attributes that leave the image',
      last - 2,
      'BAD_FORMAT',
      /the xattrs of inode 894 ends at byte/,
      (image) => void image.compactInode(last - 2, { mode: file, xattrCount: 7 }),
    ],
  ]
  for (const [what, nid, code, message, write] of cases)
    test(what, () => {
      const image = new TinyErofs()
      write(image)
      assert.throws(() => readInode(new ErofsVolume(image.bytes), nid), { code, message })
    })
})
