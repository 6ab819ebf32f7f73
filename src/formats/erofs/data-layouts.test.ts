import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { TinyErofs } from '../../../test/fixtures/tiny-erofs.ts'
import { S_IFLNK, S_IFREG } from '../tree.ts'
import { chunksOf } from './chunk-data.ts'
import { checkLayout, readData } from './data-layouts.ts'
import { readInode } from './erofs-inode.ts'
import {
  chunkBased,
  chunkIndex,
  compressedCompact,
  compressedFull,
  flatInline,
  flatPlain,
  nullChunk,
} from './erofs-records.ts'
import { targetSpans } from './erofs-symlink.ts'
import { ErofsVolume } from './erofs-volume.ts'

const file = S_IFREG | 0o644

function dataOf(image: TinyErofs, nid = 0): string {
  const volume = new ErofsVolume(image.bytes)
  return Buffer.concat([...readData(volume, readInode(volume, nid))]).toString('latin1')
}

/** A block of 512 bytes that is all one letter. */
function letters(...text: string[]): string {
  return text.map((letter) => letter.repeat(512)).join('')
}

/** Blocks of 512 bytes, of which those from the tenth on hold a letter each. */
function lettered(): TinyErofs {
  const image = new TinyErofs({ blockBits: 9, blocks: 20 })
  for (let block = 10; block < 20; block++) image.bytes.fill(0x61 + block - 10, block * 512, (block + 1) * 512)
  return image
}

describe('flat data', () => {
  test('is the blocks from the one that the inode names', () => {
    const image = lettered()
    image.compactInode(0, { mode: file, size: 1000, layout: flatPlain, union: 11 })
    assert.equal(dataOf(image), letters('b', 'c').slice(0, 1000))
  })

  test('may have a tail behind the inode', () => {
    const image = lettered()
    const tailAt = image.compactInode(0, { mode: file, size: 515, layout: flatInline, union: 12 })
    image.bytes.write('xyz', tailAt)
    assert.equal(dataOf(image), `${letters('c')}xyz`)
  })

  const refused: [what: string, fields: Parameters<TinyErofs['compactInode']>[1], nid: number, message: RegExp][] = [
    ['blocks outside of the image', { mode: file, size: 513, union: 19 }, 0, /the data of inode 0 ends at byte/],
    ['no tail where there has to be one', { mode: file, size: 512, layout: flatInline, union: 10 }, 0, /has none/],
    [
      'a tail that crosses the end of a block',
      { mode: file, size: 33, layout: flatInline },
      14,
      /crosses the end of a block/,
    ],
  ]
  for (const [what, fields, nid, message] of refused)
    test(`is refused with ${what}`, () => {
      const image = lettered()
      image.compactInode(nid, fields)
      assert.throws(() => dataOf(image, nid), { code: 'BAD_FORMAT', message })
    })
})

describe('data in chunks', () => {
  /** A file of chunks of two blocks, with addresses of 4 or 8 bytes. */
  function chunked(
    size: number,
    addresses: readonly number[],
    width: 4 | 8,
    union = width === 8 ? 0x21 : 1,
  ): TinyErofs {
    const image = lettered()
    const table = image.compactInode(0, { mode: file, size, layout: chunkBased, union })
    for (const [i, address] of addresses.entries()) image.bytes.writeUInt32LE(address, table + i * width + width - 4)
    return image
  }

  for (const width of [4, 8] as const) {
    test(`lies where the table says, addresses of ${width} bytes`, () => {
      const image = chunked(2500, [14, nullChunk, 10], width)
      assert.equal(dataOf(image), `${letters('e', 'f', '\0', '\0', 'a').slice(0, 2500)}`)
    })

    test(`is refused outside of the image, addresses of ${width} bytes`, () => {
      assert.throws(() => dataOf(chunked(1024, [19], width)), {
        code: 'BAD_FORMAT',
        message: /a chunk of inode 0 ends at byte/,
      })
    })
  }

  test('may be said to lie on devices that nobody has', () => {
    const image = chunked(2500, [14, nullChunk, 10], 8)
    const table = image.compactInode(0, { mode: file, size: 2500, layout: chunkBased, union: 0x21 })
    image.bytes.writeUInt16LE(3, table + chunkIndex.device)
    const volume = new ErofsVolume(image.bytes)
    assert.deepEqual(
      [...chunksOf(volume, readInode(volume, 0))],
      [
        { length: 1024, address: { device: 3, block: 14 } },
        { length: 1024, address: undefined },
        { length: 452, address: { device: 0, block: 10 } },
      ],
    )
    assert.throws(() => dataOf(image), { code: 'UNSUPPORTED', message: /a chunk of inode 0 lies on another device/ })
  })

  test('may be a hole of any size', () => {
    const image = chunked(2 ** 32 - 1, [nullChunk], 4, 31)
    const volume = new ErofsVolume(image.bytes)
    const [piece] = readData(volume, readInode(volume, 0))
    assert.deepEqual(piece, new Uint8Array(1 << 20))
  })

  test('is refused on another device, also as a hole', () => {
    for (const address of [10, nullChunk]) {
      const image = chunked(512, [address], 8)
      image.bytes[image.inodesAt + 32 + 2] = 1
      assert.throws(() => dataOf(image), { code: 'UNSUPPORTED', message: /lies on another device/ })
    }
  })

  test('is refused with a table that leaves the image, and in a format of the future', () => {
    assert.throws(() => dataOf(chunked(2 ** 31, [], 4)), { code: 'BAD_FORMAT', message: /the chunks of inode 0/ })
    assert.throws(() => dataOf(chunked(512, [10], 4, 0x40)), { code: 'UNSUPPORTED', message: /chunk format 0x40/ })
  })
})

describe('another layout', () => {
  const cases: [layout: number, message: RegExp][] = [
    [compressedFull, /inode 0 is compressed/],
    [compressedCompact, /inode 0 is compressed/],
    [5, /inode 0 has data layout 5/],
  ]
  for (const [layout, message] of cases)
    test(`${layout} is refused`, () => {
      const image = new TinyErofs()
      image.compactInode(0, { mode: file, size: 5, layout })
      const volume = new ErofsVolume(image.bytes)
      const inode = readInode(volume, 0)
      assert.throws(() => checkLayout(inode), { code: 'UNSUPPORTED', message })
      assert.throws(() => readData(volume, inode), { code: 'UNSUPPORTED', message })
    })
})

describe('the target of a symlink', () => {
  const target = (image: TinyErofs): string => {
    const volume = new ErofsVolume(image.bytes)
    return targetSpans(volume, readInode(volume, 0))
      .map(([from, to]) => image.bytes.toString('latin1', from, to))
      .join('')
  }
  const link = S_IFLNK | 0o777

  test('lies as data does', () => {
    const image = new TinyErofs()
    image.bytes.write('to/\xff', image.compactInode(0, { mode: link, size: 4, layout: flatInline }), 'latin1')
    assert.equal(target(image), 'to/\xff')
  })

  const refused: [what: string, code: string, fields: Parameters<TinyErofs['compactInode']>[1]][] = [
    ['without bytes', 'BAD_FORMAT', { mode: link }],
    ['with more than the kernel takes', 'BAD_FORMAT', { mode: link, size: 4096, union: 2 }],
    ['with a zero byte', 'BAD_FORMAT', { mode: link, size: 4, layout: flatInline }],
    ['in chunks', 'UNSUPPORTED', { mode: link, size: 4, layout: chunkBased }],
    ['of a file', 'UNSUPPORTED', { mode: file, size: 4, layout: flatInline }],
  ]
  for (const [what, code, fields] of refused)
    test(`is refused ${what}`, () => {
      const image = new TinyErofs()
      image.compactInode(0, fields)
      assert.throws(() => target(image), { code })
    })
})
