import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import type { Code } from '../../error.ts'
import { superblock, superblockAt } from './erofs-records.ts'
import { ErofsVolume, imageSizeOf } from './erofs-volume.ts'

test('says where the parts of an image are', () => {
  const image = new TinyErofs({ blockBits: 9, blocks: 16 })
  image.field('xattrBlock', 5)
  image.field('featureCompat', 4)
  image.bytes.writeUInt16LE(7, superblockAt + superblock.rootNid)
  image.bytes.writeBigInt64LE(-3n, superblockAt + superblock.buildTime)
  const volume = new ErofsVolume(image.bytes)
  assert.deepEqual(
    [volume.blockSize, volume.rootNid, volume.inodesAt, volume.sharedXattrsAt, volume.hasXattrFilter, volume.buildTime],
    [512, 7, 4096, 2560, true, -3],
  )
})

describe('an image is refused', () => {
  const refused: [what: string, code: Code, message: RegExp, spoil: (image: TinyErofs) => Buffer | void][] = [
    [
      'that is shorter than its superblock',
      'BAD_FORMAT',
      /1151 bytes; its superblock/,
      ({ bytes }) => bytes.subarray(0, 1151),
    ],
    ['without the magic', 'BAD_FORMAT', /magic 0x0; expected 0xe0f5e1e2/, (image) => image.field('magic', 0)],
    ['with compression', 'UNSUPPORTED', /compression configs/, (image) => image.field('featureIncompat', 2)],
    ['with a device table', 'UNSUPPORTED', /device table/, (image) => image.field('featureIncompat', 8)],
    [
      'with a feature of the future',
      'UNSUPPORTED',
      /feature bit 31/,
      (image) => image.field('featureIncompat', 2 ** 31),
    ],
    [
      'with other devices',
      'UNSUPPORTED',
      /other devices/,
      ({ bytes }) => void (bytes[superblockAt + superblock.extraDevices] = 1),
    ],
    [
      'with directories of other blocks',
      'UNSUPPORTED',
      /blocks of another size/,
      ({ bytes }) => void (bytes[superblockAt + superblock.directoryBlockBits] = 1),
    ],
    ...[8, 17].map(
      (bits) =>
        [
          `with blocks of 2^${bits} bytes`,
          'UNSUPPORTED',
          new RegExp(`2\\^${bits}`),
          ({ bytes }: TinyErofs) => void (bytes[superblockAt + superblock.blockBits] = bits),
        ] satisfies [string, Code, RegExp, (image: TinyErofs) => void],
    ),
  ]
  for (const [what, code, message, spoil] of refused)
    test(what, () => {
      const image = new TinyErofs()
      const bytes = spoil(image) ?? image.bytes
      assert.throws(() => new ErofsVolume(bytes), { code, message })
    })
})

test('the size of an image is what its beginning says', () => {
  const image = new TinyErofs({ blockBits: 9, blocks: 16 })
  image.field('blocks', 0xffffffff)
  assert.equal(imageSizeOf(image.bytes.subarray(0, 1152)), 0xffffffff * 512)
  assert.throws(() => imageSizeOf(image.bytes.subarray(0, 1151)), { code: 'BAD_FORMAT' })
})

test('blocks lie in the image, on its own device', () => {
  const volume = new ErofsVolume(new TinyErofs({ blocks: 4 }).bytes)
  assert.deepEqual(volume.blocks(3, 4096, 0, 'a chunk of inode', 1), [12288, 16384])
  assert.throws(() => volume.blocks(3, 4097, 0, 'a chunk of inode', 1), { code: 'BAD_FORMAT' })
  assert.throws(() => volume.blocks(0xfffffffe, 1, 0, 'a chunk of inode', 1), { code: 'BAD_FORMAT' })
  assert.throws(() => volume.blocks(0, 1, 1, 'a chunk of inode', 1), {
    code: 'UNSUPPORTED',
    message: 'Cannot read EROFS image: a chunk of inode 1 lies on another device',
  })
})
