import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ErofsTarget, targetTree } from '../../../test/fixtures/erofs-target.ts'
import { fuzzErofs } from '../../../test/fuzz/erofs.ts'
import { fuzzMutatedImages } from '../../../test/fuzz/mutants.ts'
import { outline, randomTree } from '../../../test/fixtures/random-tree.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import type { VerityDigest } from '../../digest.ts'
import { type Code, OnefoldError } from '../../error.ts'
import { walk } from '../../image/tree-json.ts'
import { type Directory, type Inode, S_IFIFO, emptyDirectory } from '../tree.ts'
import { parseDump } from '../dump/read-dump.ts'
import { verityDigest } from '../fsverity/verity-digest.ts'
import { ErofsReader } from '../erofs/erofs-reader.ts'
import { XattrSpans } from '../erofs/erofs-xattr-reader.ts'
import { compact, dirent, superblock, superblockAt, xattrBody, xattrEntry } from '../erofs/erofs-records.ts'
import { composefsHeader } from './composefs-header.ts'
import { readErofs } from './read-image.ts'
import { writeErofs } from './write-image.ts'

describe('readErofs', () => {
  test('gives back the tree that was written, and that gives the same bytes', () => {
    fc.assert(
      fc.property(randomTree({ foreignPaths: true }), (tree) => {
        const { bytes, version } = writeErofs(tree)
        const back = readErofs(bytes, { foreignPaths: true })
        assert.deepEqual(outline(back), outline(tree))
        const again = writeErofs(back)
        assert.equal(again.version, version)
        assert.ok(Buffer.from(again.bytes).equals(bytes), 'written again: other bytes')
      }),
      { numRuns: 150 },
    )
  })

  test('gives a tree of the same bytes even where the image is ambiguous', () => {
    fc.assert(
      fc.property(randomTree({ ambiguous: true }), fc.constantFrom(0 as const, 1 as const), (tree, version) => {
        const options = { minVersion: version, maxVersion: version }
        const { bytes } = writeErofs(tree, options)
        assert.ok(Buffer.from(writeErofs(readErofs(bytes), options).bytes).equals(bytes))
      }),
      { numRuns: 150 },
    )
  })

  test('reads the images of mkcomposefs', { skip: withoutVectors('one-tree/composefs') }, () => {
    const folder = vectors('one-tree/composefs')
    const want = outline(parseDump(readFileSync(`${folder}/dump`)))
    for (const version of ['v0', 'v1'])
      assert.deepEqual(outline(readErofs(readFileSync(`${folder}/${version}.cfs`))), want)
  })

  test('puts every inode of a plain image under its first name', { skip: withoutVectors('one-tree/erofs') }, () => {
    const content = (size: number, data: Iterable<Uint8Array>) =>
      ({ kind: 'object', size, digest: verityDigest(Buffer.concat([...data])) }) as const
    const plain = readErofs(readFileSync(vectors('one-tree/erofs/plain.erofs') ?? ''), { content })
    const wanted = parseDump(readFileSync(vectors('one-tree/composefs/dump') ?? ''))
    const facts = (inode: Inode): object => ({ ...inode, nlink: 0, children: undefined })
    assert.deepEqual(
      [...walk(plain)].map(({ path, inode }) => [path, facts(inode)]),
      [...walk(wanted)].map(({ path, inode }) => [path, facts(inode)]),
    )
    assert.deepEqual(
      [...walk(plain)].filter(({ link }) => link !== undefined).map(({ path, link }) => [path, link]),
      [
        ['opt/app/hl-b', 'opt/app/hl-a'],
        ['usr/share/hl-c', 'opt/app/hl-a'],
      ],
    )
  })

  const refusals: [file: string, code: Code, message: RegExp][] = [
    ['lz4', 'UNSUPPORTED', /inode \d+ is compressed/],
    ['lz4-ztailpacking', 'UNSUPPORTED', /the feature tail packing/],
    ['zstd', 'UNSUPPORTED', /the feature compression configs/],
    ['chunks-blob', 'UNSUPPORTED', /the feature device table/],
  ]
  for (const [file, code, message] of refusals)
    test(`names what it cannot read: ${file}`, { skip: withoutVectors('one-tree/erofs') }, () => {
      const bytes = readFileSync(vectors(`one-tree/erofs/${file}.erofs`) ?? '')
      assert.throws(() => readErofs(bytes), { code, message })
    })
})

describe('a hostile image', () => {
  test('is refused when it is cut anywhere', () => {
    const { bytes } = writeErofs(targetTree())
    const used =
      bytes.length -
      Buffer.from(bytes)
        .reverse()
        .findIndex((byte) => byte !== 0)
    for (let length = 0; length < used; length += length < 1200 ? 7 : 131)
      assert.throws(() => readErofs(bytes.subarray(0, length)), { name: 'OnefoldError' }, `cut at ${length}`)
  })

  /** Each changes a good image; `at` is where the record of the inode at that path begins. */
  const attacks: [what: string, code: Code, message: RegExp, change: (image: ErofsTarget) => void][] = [
    ['no EROFS', 'BAD_FORMAT', /magic 0x0/, ({ view }) => view.setUint32(superblockAt, 0)],
    [
      'a future composefs',
      'UNSUPPORTED',
      /composefs version 3/,
      ({ view }) => view.setUint32(composefsHeader.version, 3, true),
    ],
    [
      'a future header',
      'UNSUPPORTED',
      /header version 9/,
      ({ view }) => view.setUint32(composefsHeader.headerVersion, 9, true),
    ],
    [
      'an unknown feature',
      'UNSUPPORTED',
      /bit 30/,
      ({ view }) => view.setUint32(superblockAt + superblock.featureIncompat, 1 << 30, true),
    ],
    ['absurd blocks', 'UNSUPPORTED', /2\^40/, ({ view }) => view.setUint8(superblockAt + superblock.blockBits, 40)],
    [
      'a root beyond the end',
      'BAD_FORMAT',
      /inode 65535 ends/,
      ({ view }) => view.setUint16(superblockAt + superblock.rootNid, 0xffff, true),
    ],
    [
      'a file as root',
      'BAD_FORMAT',
      /is no directory/,
      ({ view, nid }) => view.setUint16(superblockAt + superblock.rootNid, nid('etc/passwd'), true),
    ],
    ['a compressed inode', 'UNSUPPORTED', /is compressed/, ({ view, at }) => view.setUint16(at('etc/passwd'), 2, true)],
    [
      'an unknown inode format',
      'UNSUPPORTED',
      /format 0x10/,
      ({ view, at }) => view.setUint16(at('etc/passwd'), 0x10, true),
    ],
    [
      'an unknown layout',
      'UNSUPPORTED',
      /data layout 6/,
      ({ view, at }) => view.setUint16(at('etc/passwd'), 6 << 1, true),
    ],
    [
      'no file type',
      'BAD_FORMAT',
      /no file type/,
      ({ view, at }) => view.setUint16(at('etc/passwd') + compact.mode, 0o644, true),
    ],
    [
      'a wrong entry type',
      'BAD_FORMAT',
      /gives inode \d+ the type 3/,
      ({ view, entry }) => view.setUint8(entry('etc', 'passwd') + dirent.fileType, 3),
    ],
    ['a cycle', 'BAD_FORMAT', /has two names/, ({ entry, nid, setNid }) => setNid(entry('etc', 'sub'), nid('etc'))],
    [
      'a directory twice',
      'BAD_FORMAT',
      /has two names|leads to inode/,
      ({ entry, nid, setNid }) => setNid(entry('', 'other'), nid('etc/sub')),
    ],
    [
      'a strange ..',
      'BAD_FORMAT',
      /\.\. of directory/,
      ({ entry, nid, setNid }) => setNid(entry('etc', '..'), nid('other')),
    ],
    [
      'a strange .',
      'BAD_FORMAT',
      /\. of directory/,
      ({ entry, nid, setNid }) => setNid(entry('etc', '.'), nid('other')),
    ],
    [
      'an entry beyond the end',
      'BAD_FORMAT',
      /ends at byte/,
      ({ entry, setNid }) => setNid(entry('etc', 'passwd'), 2 ** 40),
    ],
    ['names out of order', 'BAD_FORMAT', /out of order/, ({ bytes, name }) => (bytes[name('etc', 'passwd')] = 0x7e)],
    [
      'a name with a slash',
      'BAD_FORMAT',
      /cannot be names/,
      ({ bytes, name }) => (bytes[name('etc', 'passwd') + 1] = 0x2f),
    ],
    [
      'names before the block',
      'BAD_FORMAT',
      /names that overlap/,
      ({ view, entry }) => view.setUint16(entry('etc', '..') + dirent.nameOffset, 3, true),
    ],
    [
      'a huge directory',
      'BAD_FORMAT',
      /claim more data than/,
      ({ view, at }) => view.setUint32(at('etc') + compact.size, 0x7ffffff0, true),
    ],
    [
      'a huge target',
      'BAD_FORMAT',
      /a target of \d+ bytes/,
      ({ view, at }) => view.setUint32(at('link') + compact.size, 5000, true),
    ],
    [
      'xattrs beyond the end',
      'BAD_FORMAT',
      /xattrs of inode \d+ ends/,
      ({ view, at }) => view.setUint16(at('etc/tagged') + compact.xattrCount, 0xffff, true),
    ],
    [
      'too many shared xattrs',
      'BAD_FORMAT',
      /more than it has room for/,
      ({ bytes, xattrs }) => (bytes[xattrs('etc/tagged') + xattrBody.sharedCount] = 255),
    ],
    [
      'a filter that hides',
      'BAD_FORMAT',
      /name filter/,
      ({ view, xattrs }) => view.setUint32(xattrs('etc/tagged'), 0xffffffff, true),
    ],
    [
      'an unknown prefix',
      'UNSUPPORTED',
      /name prefix 133/,
      ({ bytes, xattrs }) => (bytes[xattrs('etc/tagged') + xattrBody.bytes + xattrEntry.nameIndex] = 133),
    ],
    [
      'a long xattr',
      'BAD_FORMAT',
      /ends outside of its place/,
      ({ view, xattrs }) => view.setUint16(xattrs('etc/tagged') + xattrBody.bytes + xattrEntry.valueLength, 999, true),
    ],
    [
      'an order to overlayfs',
      'BAD_FORMAT',
      /an order to overlayfs/,
      ({ view, xattrs, replace }) => {
        view.setUint32(xattrs('etc/tagged') + xattrBody.nameFilter, 0)
        replace('overlay.overlay.x', 'overlay.opaqueuex')
      },
    ],
    ['bytes elsewhere', 'BAD_FORMAT', /but its bytes at "89\//, ({ replace }) => replace('/01/2345', '/89/2345')],
    ['a path with detours', 'BAD_FORMAT', /without detours/, ({ replace }) => replace('/01/234', '/../234')],
    [
      'another digest',
      'UNSUPPORTED',
      /another kind than sha256/,
      ({ replace }) => replace('metacopy\0\x24\0\x01', 'metacopy\0\x24\0\x02'),
    ],
    [
      'a redirect alone',
      'BAD_FORMAT',
      /redirect but no metacopy|name filter/,
      ({ replace }) => replace('overlay.metacopy', 'overlay.overlay.'),
    ],
    [
      'an open root',
      'BAD_FORMAT',
      /name filter|not opaque|an order/,
      ({ replace }) => replace('overlay.opaque', 'overlay.opaqua'),
    ],
    [
      'a whiteout of its own',
      'BAD_FORMAT',
      /a whiteout to overlayfs/,
      ({ bytes, name }) => (bytes[name('', 'ff') + 1] = 0x67),
    ],
    [
      'a missing stub',
      'BAD_FORMAT',
      /hides 255 of 256/,
      ({ view, bytes, at, entry, name }) => {
        view.setUint16(at('ff') + compact.mode, S_IFIFO, true)
        view.setUint8(entry('', 'ff') + dirent.fileType, 5)
        bytes[name('', 'ff') + 1] = 0x67
      },
    ],
  ]
  for (const [what, code, message, change] of attacks)
    test(`with ${what}`, () => {
      const target = new ErofsTarget(writeErofs(targetTree()).bytes)
      change(target)
      assert.throws(() => readErofs(target.bytes), { name: 'OnefoldError', code, message })
    })

  for (const path of ['/../2345', '/01/../5', '/./12345', '//1/2345', 'x01/2345', '/01/23\u00005'])
    test(`with the path ${JSON.stringify(path)} of an object, whatever is asked for`, () => {
      const target = new ErofsTarget(writeErofs(targetTree()).bytes)
      target.replace('/01/2345', path)
      const what = {
        name: 'OnefoldError',
        code: 'BAD_FORMAT',
        message: /expected an absolute path without detours/,
      }
      assert.throws(() => readErofs(target.bytes), what)
      assert.throws(() => readErofs(target.bytes, { foreignPaths: true }), what)
    })

  test('whose directories share their blocks cannot multiply itself', () => {
    const folders = Array.from({ length: 300 }, (_, i): [string, Inode] => [`d${i}`, fullDirectory()])
    const target = new ErofsTarget(writeErofs({ ...fullDirectory(), children: new Map(folders) }).bytes)
    const first = target.inode('d0')
    for (let i = 1; i < 300; i++) target.view.setUint32(target.at(`d${i}`) + compact.union, first.union, true)
    assert.throws(
      () => readErofs(target.bytes),
      (error) => error instanceof OnefoldError,
    )
  })

  test('whose shared attributes overlap cannot multiply itself', () => {
    const image = Buffer.alloc(1 << 16)
    Buffer.from(writeErofs(targetTree()).bytes).copy(image)
    // One inode with 255 references, each to the next word of a stretch in which every word begins a long attribute.
    image.fill(Buffer.from([200, 1, 255, 2]), 1 << 15)
    const reader = new ErofsReader(image)
    const at = 1 << 14
    image.writeUInt8(255, at + xattrBody.sharedCount)
    for (let i = 0; i < 255; i++) image.writeUInt32LE((1 << 13) - tableWord(image) + i, at + xattrBody.bytes + 4 * i)
    const inode = { ...reader.inode(reader.rootNid), xattrsAt: at, xattrBytes: xattrBody.bytes + 4 * 255 }
    assert.throws(() => reader.readXattrs(inode, new XattrSpans()), {
      code: 'BAD_FORMAT',
      message: /shared xattrs overlap/,
    })
  })

  test('of random damage is read or refused, within bounds', () => fuzzErofs(1, 400))
  test('that is a mutant is read or refused, within bounds', () => fuzzMutatedImages(1, 1000))
})

/** Where references to the shared table are counted from, in words. */
function tableWord(image: Buffer): number {
  return (image.readUInt32LE(superblockAt + superblock.xattrBlock) * 4096) / 4
}

function fullDirectory(): Directory {
  const digest = 'ab'.repeat(32) as VerityDigest
  const common = { ...emptyDirectory(), mode: 0o100644, nlink: 1, children: undefined }
  const names = Array.from({ length: 200 }, (_, i) => `file-${i}`)
  return {
    ...emptyDirectory(),
    children: new Map(names.map((name) => [name, { ...common, content: { kind: 'object', digest, size: 99 } }])),
  }
}
