import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fuzzTar } from '../../../test/fuzz/tar.ts'
import {
  type RawHeader,
  base256,
  file,
  gnuLong,
  gnuPairs,
  header,
  padded,
  pax,
  record,
  tar,
  trailer,
} from '../../../test/fixtures/tar-bytes.ts'
import { checkRecipe, takeApart } from '../../../test/fixtures/tar-parts.ts'
import { type Code, OnefoldError, hasCode } from '../../error.ts'
import { type Entry, newEntry } from '../entry.ts'
import { type TarOptions, TarParser } from './tar-parser.ts'

const long = `${'d'.repeat(120)}/${'e'.repeat(130)}/${'f'.repeat(100)}`
const plain = newEntry({ path: 'file', type: 'file' })

/** The one entry of a tar, pushed in whole and byte by byte, whose recipe was checked on the way. */
function entryOf(bytes: Buffer, options: TarOptions = {}): { entry: Entry; content: Buffer } {
  const parts = takeApart(bytes, bytes.length, options)
  assert.deepEqual(takeApart(bytes, 1, options).recipe, parts.recipe)
  checkRecipe(bytes, parts, options)
  assert.equal(parts.entries.length, 1)
  return { entry: parts.entries[0]!, content: parts.contents[0]! }
}

function refuses(bytes: Buffer, code: Code, found: RegExp, options: TarOptions = {}): void {
  for (const step of bytes.length < 100_000 ? [bytes.length, 1, 511] : [bytes.length, 511])
    assert.throws(
      () => takeApart(bytes, step, options),
      (error) => hasCode(error, code) && found.test(error.message),
      `${code} ${found}`,
    )
}

describe('an entry of every kind', () => {
  for (const [what, archive, expected, content = ''] of [
    ['v7', header({ dialect: 'v7', prefix: 'no prefix here' }), {}],
    ['v7 contiguous', file({ typeflag: '7' }, 'x'), { content: { kind: 'unknown', size: 1 } }, 'x'],
    ['a NUL as type', file({ typeflag: '\0' }, 'x'), { content: { kind: 'unknown', size: 1 } }, 'x'],
    ['a directory of v7', header({ typeflag: '\0', name: 'dir/', dialect: 'v7' }), { path: 'dir', type: 'directory' }],
    ['a slash after a file', header({ name: 'dir/' }), { path: 'dir' }],
    ['ustar prefix', header({ prefix: 'a/b', name: 'c' }), { path: 'a/b/c' }],
    [
      'ustar, full fields',
      header({ prefix: 'p'.repeat(155), name: 'n'.repeat(100) }),
      { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` },
    ],
    [
      'star prefix',
      header({ prefix: 'p'.repeat(131), name: 'n', dialect: 'star', edit: (b) => b.fill('1', 476, 500) }),
      { path: `${'p'.repeat(131)}/n` },
    ],
    ['gnu has no prefix', header({ prefix: '7\xff', dialect: 'gnu' }), {}],
    ['bytes, not text', header({ name: '\xff\xfe\n' }), { path: '\xff\xfe\n' }],
    ['the root', header({ name: './', typeflag: '5' }), { path: '', type: 'directory' }],
    ['a directory with a size', header({ name: 'd', typeflag: '5', size: 4096 }), { path: 'd', type: 'directory' }],
    [
      'a symlink',
      header({ typeflag: '2', link: '../../anywhere//', size: 77 }),
      { type: 'symlink', link: '../../anywhere//' },
    ],
    ['a hard link with a size', header({ typeflag: '1', link: './a/../b', size: 5 }), { type: 'hardlink', link: 'b' }],
    ['a fifo', header({ typeflag: '6', devmajor: '', devminor: '' }), { type: 'fifo' }],
    [
      'a device',
      header({ typeflag: '3', devmajor: 0xfff, devminor: 0xfffff, size: 9 }),
      { type: 'char', major: 0xfff, minor: 0xfffff },
    ],
    ['a device without numbers', header({ typeflag: '4' }), { type: 'block' }],
    ['a device of v7', header({ typeflag: '4', dialect: 'v7', devmajor: 'garbage' }), { type: 'block' }],
    ['setuid, type bits and all', header({ mode: 0o104755 }), { mode: 0o4755 }],
    [
      'spaces around numbers',
      header({ mode: '  644 \0', uid: '    12 ', gid: '0000013 ', mtime: '         17 ' }),
      { uid: 10, gid: 11, mtime: 15 },
    ],
    [
      'numbers that fill their fields',
      header({ uid: '00000012', mtime: '777777777777' }),
      { uid: 10, mtime: 0o777777777777 },
    ],
    ['empty numbers', header({ mode: '', uid: '', gid: '', size: '', mtime: '' }), { mode: 0 }],
    [
      'base-256',
      header({ uid: base256(0xfffffffen, 8), mtime: base256(2n ** 40n, 12) }),
      { uid: 0xfffffffe, mtime: 2 ** 40 },
    ],
    ['negative base-256', header({ mtime: base256(-3n, 12) }), { mtime: -3 }],
    [
      'the signed checksum',
      header({ name: '\xe4\xf6\xfc', checksum: (sum) => sum - 3 * 256 }),
      { path: '\xe4\xf6\xfc' },
    ],
    ['GNU long name', Buffer.concat([gnuLong('L', long), header({ dialect: 'gnu' })]), { path: long }],
    [
      'GNU long link',
      Buffer.concat([gnuLong('K', long), header({ typeflag: '2', dialect: 'gnu' })]),
      { type: 'symlink', link: long },
    ],
    [
      'both, and an older one',
      Buffer.concat([gnuLong('L', 'old'), gnuLong('K', 'x'), gnuLong('L', 'new'), header({ typeflag: '1' })]),
      { path: 'new', type: 'hardlink', link: 'x' },
    ],
    ['a volume label', Buffer.concat([header({ typeflag: 'V', name: 'label' }), header({})]), {}],
    [
      'pax names and numbers',
      Buffer.concat([
        pax({ path: long, uid: '4000000000', gid: '3000000', mtime: '1.5', size: '2' }),
        header({ size: 9 }),
        padded('xy'),
      ]),
      {
        path: long,
        uid: 4_000_000_000,
        gid: 3_000_000,
        mtime: 1,
        mtimeNsec: 500_000_000,
        content: { kind: 'unknown', size: 2 },
      },
      'xy',
    ],
    [
      'pax linkpath',
      Buffer.concat([pax({ linkpath: long }), header({ typeflag: '1' })]),
      { type: 'hardlink', link: long },
    ],
    [
      'a newline in a value',
      Buffer.concat([pax({ path: 'a\nb=c', comment: '\n\0\n' }), header({})]),
      { path: 'a\nb=c' },
    ],
    [
      'the last record wins',
      Buffer.concat([pax(record('path', 'a') + record('path', 'b')), header({})]),
      { path: 'b' },
    ],
    ['an empty value takes a key away', Buffer.concat([pax(record('path', 'a') + record('path', '')), header({})]), {}],
    [
      'a later x replaces the earlier',
      Buffer.concat([pax({ path: 'a', uid: '7' }), pax({ path: 'b' }), header({})]),
      { path: 'b' },
    ],
    ['an empty x', Buffer.concat([pax({}), header({})]), {}],
    ['x, then L', Buffer.concat([pax({ path: 'a' }), gnuLong('L', 'b'), header({})]), { path: 'b' }],
    [
      'star device numbers',
      Buffer.concat([pax({ 'SCHILY.devmajor': '8', 'SCHILY.devminor': '300000' }), header({ typeflag: '4' })]),
      { type: 'block', major: 8, minor: 300_000 },
    ],
    [
      'xattrs',
      Buffer.concat([
        pax({
          'SCHILY.xattr.user.a': '\0\n\xff',
          'SCHILY.fflags': 'nodump',
          hdrcharset: 'BINARY',
          'SCHILY.xattr.user.gone': '',
        }),
        header({}),
      ]),
      { xattrs: new Map([['user.a', Uint8Array.of(0, 10, 255)]]) },
    ],
    [
      'libarchive xattrs',
      Buffer.concat([
        pax({ 'LIBARCHIVE.xattr.user.a%3Db': 'AP8=', 'LIBARCHIVE.xattr.user.c': 'AA', 'SCHILY.xattr.user.c': 'x' }),
        header({}),
      ]),
      {
        xattrs: new Map([
          ['user.a=b', Uint8Array.of(0, 255)],
          ['user.c', Uint8Array.of(120)],
        ]),
      },
    ],
    [
      'an xattr that is empty',
      Buffer.concat([pax({ 'SCHILY.xattr.user.e': '', 'LIBARCHIVE.xattr.user.e': '=' }), header({})]),
      { xattrs: new Map([['user.e', new Uint8Array()]]) },
    ],
    ['a global header, ignored', Buffer.concat([pax({ path: 'x', uid: '5', comment: 'c' }, 'g'), header({})]), {}],
    [
      'a global header between x and entry',
      Buffer.concat([pax({ path: 'a' }), pax({ path: 'x' }, 'g'), header({})]),
      {},
    ],
    [
      'a prefix of Go before 1.8 where GNU has times',
      header({ prefix: 'usr/share', name: 'n', dialect: 'gnu' }),
      { path: 'usr/share/n' },
    ],
    ['GNU times', header({ prefix: '00000000012\x0000000000012', dialect: 'gnu' }), {}],
    ['x that nothing follows', Buffer.concat([header({}), pax({ path: 'a' })]), {}],
  ] satisfies [string, Buffer, Partial<Entry>, string?][])
    test(what, () => {
      const { entry, content: bytes } = entryOf(tar(archive))
      assert.deepEqual(entry, { ...plain, ...expected })
      assert.equal(bytes.toString('latin1'), content)
    })
})

describe('global headers as POSIX means them', () => {
  const options: TarOptions = { globalHeaders: 'apply' }
  const globals = pax({ uid: '5', gid: '6', path: 'g' }, 'g')

  test('say something about every entry after them, unless its own header does', () => {
    const bytes = tar(globals, header({ uid: 1 }), pax({ uid: '7', path: '' }), header({ name: 'own' }))
    const parts = takeApart(bytes, 100, options)
    checkRecipe(bytes, parts, options)
    const seen = parts.entries.map(({ path, uid, gid }) => ({ path, uid, gid }))
    assert.deepEqual(seen, [
      { path: 'g', uid: 5, gid: 6 },
      { path: 'own', uid: 7, gid: 6 },
    ])
  })

  test('are taken back by a later one', () => {
    const bytes = tar(globals, pax({ uid: '', path: '' }, 'g'), header({ uid: 1 }))
    const { entry } = entryOf(bytes, options)
    assert.deepEqual([entry.path, entry.uid, entry.gid], ['file', 1, 6])
  })
})

describe('times', () => {
  for (const [text, mtime, mtimeNsec] of [
    ['0', 0, 0],
    ['-0', 0, 0],
    ['1700000000.123456789', 1_700_000_000, 123_456_789],
    ['1.1234567899', 1, 123_456_789],
    ['1.', 1, 0],
    ['1.05', 1, 50_000_000],
    ['-1', -1, 0],
    ['-1.5', -2, 500_000_000],
    ['-0.000000001', -1, 999_999_999],
    ['-1.0000000009', -1, 0],
  ] as const)
    test(text, () => {
      const { entry } = entryOf(tar(pax({ mtime: text }), header({})))
      assert.deepEqual([entry.mtime, entry.mtimeNsec], [mtime, mtimeNsec])
    })
})

describe('sparse files', () => {
  const holes: [number, number][] = [
    [0, 3],
    [1000, 2],
  ]
  const expected = Buffer.alloc(2000)
  expected.write('abc', 0)
  expected.write('de', 1000)
  const real = (block: Buffer): void => void block.write('00000003720\0', 483)
  const many: [number, number][] = Array.from({ length: 60 }, (_, i) => [i * 10, 1])
  const manyBytes = Buffer.alloc(2000)
  for (const [at] of many) manyBytes.write('m', at)

  function gnu(pairs: readonly (readonly [number, number])[], stored: string, edit = real): Buffer {
    const extensions: Buffer[] = []
    for (let at = 4; at < pairs.length; at += 21) {
      const block = Buffer.alloc(512)
      block.write(gnuPairs(pairs.slice(at, at + 21)), 'latin1')
      if (at + 21 < pairs.length) block[504] = 1
      extensions.push(block)
    }
    const first = header({
      typeflag: 'S',
      dialect: 'gnu',
      size: stored.length,
      edit(block) {
        block.write(gnuPairs(pairs.slice(0, 4)), 386, 'latin1')
        if (pairs.length > 4) block[482] = 1
        edit(block)
      },
    })
    return Buffer.concat([first, ...extensions, padded(stored)])
  }

  const pax00 = (pairs: readonly (readonly [number, number])[]): string =>
    pairs
      .map(([at, length]) => record('GNU.sparse.offset', `${at}`) + record('GNU.sparse.numbytes', `${length}`))
      .join('')
  const sized = { 'GNU.sparse.size': '2000', 'GNU.sparse.name': 'file' }
  const version1 = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'file',
    'GNU.sparse.realsize': '2000',
  }
  const lines = (...numbers: number[]): string => numbers.map((n) => `${n}\n`).join('')
  const body1 = (map: string, stored: string): Buffer => Buffer.concat([padded(map), Buffer.from(stored)])

  for (const [what, archive, content] of [
    ['old GNU', gnu(holes, 'abcde'), expected],
    ['old GNU, end marked', gnu([...holes, [2000, 0]], 'abcde'), expected],
    ['old GNU with extension blocks', gnu(many, 'm'.repeat(60)), manyBytes],
    ['old GNU, nothing but a hole', gnu([], ''), Buffer.alloc(2000)],
    ['pax 0.0', Buffer.concat([pax(record('GNU.sparse.size', '2000') + pax00(holes)), file({}, 'abcde')]), expected],
    [
      'pax 0.1',
      Buffer.concat([
        pax({ ...sized, 'GNU.sparse.map': '0,3,1000,2' }),
        file({ name: 'GNUSparseFile.1/file' }, 'abcde'),
      ]),
      expected,
    ],
    [
      'pax 0.1 with its version',
      Buffer.concat([
        pax({ ...sized, 'GNU.sparse.major': '0', 'GNU.sparse.minor': '1', 'GNU.sparse.map': '0,3,1000,2' }),
        file({ name: 'x' }, 'abcde'),
      ]),
      expected,
    ],
    ['pax 1.0', Buffer.concat([pax(version1), file({ name: 'x' }, body1(lines(2, 0, 3, 1000, 2), 'abcde'))]), expected],
    [
      'pax 1.0, a map of many blocks',
      Buffer.concat([
        pax(version1),
        file(
          { name: 'x' },
          body1(lines(60, ...many.flat()).replace(/\n10\n/, `\n${'0'.repeat(18)}10\n`), 'm'.repeat(60)),
        ),
      ]),
      manyBytes,
    ],
    [
      'pax 1.0, nothing but a hole',
      Buffer.concat([pax(version1), file({ name: 'x' }, body1(lines(0), ''))]),
      Buffer.alloc(2000),
    ],
    [
      'pax 1.0, contents short enough for the recipe',
      Buffer.concat([
        pax({ ...version1, 'GNU.sparse.realsize': '50' }),
        file({ name: 'x' }, body1(lines(1, 48, 2), 'yz')),
      ]),
      Buffer.concat([Buffer.alloc(48), Buffer.from('yz')]),
    ],
  ] as const)
    test(what, () => {
      const found = entryOf(tar(archive))
      assert.deepEqual(found.entry, { ...plain, content: { kind: 'unknown', size: content.length } })
      assert.ok(found.content.equals(content))
    })

  for (const [what, archive, code, found] of [
    [
      'overlapping parts',
      gnu(
        [
          [0, 3],
          [2, 2],
        ],
        'abcde',
      ),
      'BAD_FORMAT',
      /overlaps/,
    ],
    [
      'parts out of order',
      gnu(
        [
          [1000, 2],
          [0, 3],
        ],
        'abcde',
      ),
      'BAD_FORMAT',
      /out of order/,
    ],
    [
      'parts beyond the end',
      gnu(
        [
          [0, 3],
          [1999, 2],
        ],
        'abcde',
      ),
      'BAD_FORMAT',
      /beyond the file's 2000/,
    ],
    ['less stored than the map says', gnu(holes, 'abcd'), 'BAD_FORMAT', /have 5 bytes, the archive holds 4/],
    ['more stored than the map says', gnu(holes, 'abcdef'), 'BAD_FORMAT', /holds 6/],
    [
      'an old GNU map that is no number',
      gnu(holes, 'abcde', (b) => {
        real(b)
        b.write('x', 390)
      }),
      'BAD_FORMAT',
      /number that is none/,
    ],
    [
      'a negative offset',
      gnu(holes, 'abcde', (b) => {
        real(b)
        b.write(base256(-5n, 12), 386, 'latin1')
      }),
      'BAD_FORMAT',
      /number that is none/,
    ],
    [
      'a real size that is no number',
      gnu(holes, 'abcde', (b) => void b.write('x', 483)),
      'BAD_FORMAT',
      /real size is not a number/,
    ],
    [
      'a negative real size',
      gnu([], '', (b) => void b.write(base256(-5n, 12), 483, 'latin1')),
      'BAD_FORMAT',
      /real size is not/,
    ],
    [
      'a real size beyond all',
      gnu(holes, 'abcde', (b) => void b.write(base256(2n ** 62n, 12), 483, 'latin1')),
      'LIMIT',
      /maxEntrySize/,
    ],
    ['S in another dialect', header({ typeflag: 'S' }), 'BAD_FORMAT', /not GNU/],
    [
      'an offset without a length',
      Buffer.concat([pax(record('GNU.sparse.size', '9') + record('GNU.sparse.offset', '1')), header({})]),
      'BAD_FORMAT',
      /no length/,
    ],
    [
      'a length first',
      Buffer.concat([pax(record('GNU.sparse.numbytes', '1')), header({})]),
      'BAD_FORMAT',
      /GNU.sparse.numbytes/,
    ],
    [
      'a map that is none',
      Buffer.concat([pax({ ...sized, 'GNU.sparse.map': '0,3,,2' }), file({}, 'abcde')]),
      'BAD_FORMAT',
      /number that is none/,
    ],
    [
      'a map that overflows',
      Buffer.concat([pax({ ...sized, 'GNU.sparse.map': '9007199254740991,9007199254740991' }), file({}, 'abcde')]),
      'BAD_FORMAT',
      /beyond/,
    ],
    [
      'a map with another number of parts than said',
      Buffer.concat([pax({ ...sized, 'GNU.sparse.numblocks': '2', 'GNU.sparse.map': '0,5' }), file({}, 'abcde')]),
      'BAD_FORMAT',
      /not the 2 parts/,
    ],
    [
      'no real size',
      Buffer.concat([pax({ 'GNU.sparse.map': '0,5' }), file({}, 'abcde')]),
      'BAD_FORMAT',
      /real size is missing/,
    ],
    [
      'an unknown version',
      Buffer.concat([pax({ ...sized, 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0' }), file({}, 'abcde')]),
      'UNSUPPORTED',
      /version is "2.0"/,
    ],
    [
      'a sparse directory',
      Buffer.concat([pax({ ...sized, 'GNU.sparse.map': '0,0' }), header({ typeflag: '5' })]),
      'BAD_FORMAT',
      /cannot be sparse/,
    ],
    [
      'a map longer than its body',
      Buffer.concat([pax(version1), file({}, body1(lines(500, ...Array<number>(254).fill(0)), ''))]),
      'BAD_FORMAT',
      /longer than its body/,
    ],
    [
      'a map of letters',
      Buffer.concat([pax(version1), file({}, body1('2\nx\n', ''))]),
      'BAD_FORMAT',
      /something but digits/,
    ],
    ['a map with an empty line', Buffer.concat([pax(version1), file({}, body1('2\n\n', ''))]), 'BAD_FORMAT', /empty/],
    [
      'a map whose line never ends',
      Buffer.concat([pax(version1), file({}, body1('1'.repeat(600), ''))]),
      'BAD_FORMAT',
      /something but digits/,
    ],
    [
      'more parts than we take',
      Buffer.concat([pax(version1), file({}, body1(lines(100_001), ''))]),
      'LIMIT',
      /100000 parts/,
    ],
  ] as const)
    test(`${what}: refused`, () => refuses(tar(archive), code, found))

  test('limits on parts hold for every encoding', () => {
    const options = { maxSparseRanges: 5 }
    refuses(tar(gnu(many, 'm'.repeat(60))), 'LIMIT', /more than 5 parts/, options)
    const map = many.flat().join(',')
    refuses(
      tar(pax({ ...sized, 'GNU.sparse.map': map }), file({}, 'm'.repeat(60))),
      'LIMIT',
      /more than 5 parts/,
      options,
    )
  })
})

describe('refused', () => {
  const bad = (fields: RawHeader): Buffer => header(fields)
  const x = (text: string): Buffer => Buffer.concat([pax(text), header({})])
  for (const [what, archive, code, found] of [
    [
      'a checksum one too high',
      bad({ checksum: (sum) => sum + 1 }),
      'BAD_FORMAT',
      /checksum of a header is wrong, at byte 512/,
    ],
    ['a checksum one too low', bad({ checksum: (sum) => sum - 1 }), 'BAD_FORMAT', /checksum/],
    ['text that is no tar', padded('hello world'), 'BAD_FORMAT', /checksum/],
    ['a lone zero block', Buffer.concat([Buffer.alloc(512), header({})]), 'BAD_FORMAT', /single zero block/],
    ['names that escape', bad({ name: '../x' }), 'BAD_FORMAT', /leads out/],
    ['names that escape late', bad({ name: 'a/../../x' }), 'BAD_FORMAT', /leads out/],
    ['hard links that escape', bad({ typeflag: '1', link: '../x' }), 'BAD_FORMAT', /leads out/],
    ['a long component', Buffer.concat([pax({ path: 'n'.repeat(256) }), header({})]), 'BAD_FORMAT', /256 bytes/],
    [
      'a long path',
      Buffer.concat([gnuLong('L', 'abc/'.repeat(1025)), header({ typeflag: '5' })]),
      'BAD_FORMAT',
      /4099 bytes/,
    ],
    ['a NUL in a path', Buffer.concat([pax({ path: 'a\0b' }), header({})]), 'BAD_FORMAT', /path/],
    [
      'a NUL in a link',
      Buffer.concat([pax({ linkpath: 'a\0b' }), header({ typeflag: '2' })]),
      'BAD_FORMAT',
      /linkpath/,
    ],
    [
      'a long symlink',
      Buffer.concat([pax({ linkpath: 'l'.repeat(4096) }), header({ typeflag: '2' })]),
      'BAD_FORMAT',
      /4096 bytes/,
    ],
    ['a symlink to nowhere', bad({ typeflag: '2' }), 'BAD_FORMAT', /no target/],
    ['a hard link to nowhere', bad({ typeflag: '1' }), 'BAD_FORMAT', /no target/],
    ['a file without a name', bad({ name: '' }), 'BAD_FORMAT', /no name/],
    ['a file as root', bad({ name: '/' }), 'BAD_FORMAT', /no name/],
    ['a negative size', bad({ size: base256(-1n, 12) }), 'BAD_FORMAT', /negative/],
    ['a negative pax size', Buffer.concat([pax({ size: '-1' }), header({})]), 'BAD_FORMAT', /negative/],
    ['a size beyond 2^53', bad({ size: base256(2n ** 60n, 12) }), 'LIMIT', /maxEntrySize/],
    [
      'a pax size beyond 2^53',
      Buffer.concat([pax({ size: '99999999999999999999' }), header({})]),
      'LIMIT',
      /maxEntrySize/,
    ],
    ['a size that is none', bad({ size: 'x' }), 'BAD_FORMAT', /size of a header is not a number/],
    ['a mode that is none', bad({ mode: '9' }), 'BAD_FORMAT', /mode/],
    ['a user id that is none', bad({ uid: '-1' }), 'BAD_FORMAT', /uid/],
    ['a negative user id', bad({ uid: base256(-2n, 8) }), 'BAD_FORMAT', /uid/],
    ['user id −1', Buffer.concat([pax({ uid: '4294967295' }), header({})]), 'BAD_FORMAT', /uid/],
    ['a pax id that is none', Buffer.concat([pax({ gid: '0x5' }), header({})]), 'BAD_FORMAT', /gid/],
    ['a time that is none', Buffer.concat([pax({ mtime: '.5' }), header({})]), 'BAD_FORMAT', /mtime/],
    ['a time beyond 2^53', Buffer.concat([pax({ mtime: '99999999999999999999' }), header({})]), 'BAD_FORMAT', /mtime/],
    ['a large device', bad({ typeflag: '3', devmajor: 0x1000 }), 'BAD_FORMAT', /devmajor/],
    ['an unknown type', bad({ typeflag: 'Z' }), 'UNSUPPORTED', /type is "Z"/],
    ['a multi-volume archive', bad({ typeflag: 'M' }), 'UNSUPPORTED', /type is "M"/],
    ['a label with a body', file({ typeflag: 'V' }, 'x'), 'BAD_FORMAT', /label/],
    ['an x of negative size', bad({ typeflag: 'x', size: base256(-1n, 12) }), 'BAD_FORMAT', /negative/],
    ['a record without a length', x('path=a\n'), 'BAD_FORMAT', /pax record at byte 0/],
    ['a record too short', x('8 path=a\n'), 'BAD_FORMAT', /byte 0/],
    ['a record too long', x('20 path=a\n'), 'BAD_FORMAT', /byte 0/],
    ['a record of length 0', x('0 path=a\n'), 'BAD_FORMAT', /byte 0/],
    ['a record of huge length', x('99999999999999999999 path=a\n'), 'BAD_FORMAT', /byte 0/],
    ['a record without a key', x('5 =a\n'), 'BAD_FORMAT', /byte 0/],
    ['a record without an =', x('9 pathab\n'), 'BAD_FORMAT', /byte 0/],
    ['a NUL in a key', x(record('pa\0th', 'a')), 'BAD_FORMAT', /byte 0/],
    ['garbage after the records', x(`${record('path', 'a')}\0\0`), 'BAD_FORMAT', /byte 9/],
    ['an xattr without a name', x(record('SCHILY.xattr.', 'a')), 'BAD_FORMAT', /xattr/],
    ['an xattr of more than Linux takes', x(record('SCHILY.xattr.user.a', 'a'.repeat(65_537))), 'LIMIT', /65537/],
    ['base64 that is none', x(record('LIBARCHIVE.xattr.user.a', 'a!')), 'BAD_FORMAT', /LIBARCHIVE/],
    ['a header x over 1 MiB', x(record('comment', 'c'.repeat(2 ** 20))), 'LIMIT', /maxPaxBytes/],
    ['a long name over 1 MiB', Buffer.concat([gnuLong('L', 'c'.repeat(2 ** 20)), header({})]), 'LIMIT', /maxPaxBytes/],
  ] as const)
    test(what, () => refuses(tar(archive), code, found))

  test('thousands of extended headers', () => {
    const chain = (part: Buffer, count: number): Buffer => tar(...Array.from({ length: count }, () => part), header({}))
    refuses(chain(pax({}), 1001), 'LIMIT', /extended headers in a row/)
    refuses(chain(gnuLong('L', 'n'), 5000), 'LIMIT', /extended headers in a row/)
    assert.equal(takeApart(chain(pax({ path: 'p' }), 100)).entries[0]!.path, 'p')
    assert.equal(takeApart(chain(pax({ comment: 'p' }, 'g'), 5000)).entries.length, 1)
  })

  for (const [options, archive] of [
    [{ maxEntries: 1 }, tar(header({ name: 'a' }), header({ name: 'b' }))],
    [{ maxEntrySize: 1 }, tar(file({}, 'ab'))],
    [{ maxTotal: 3 }, tar(file({ name: 'a' }, 'ab'), file({ name: 'b' }, 'ab'))],
    [{ maxPaxBytes: 8 }, tar(pax({ path: 'a' }), header({}))],
    [{ maxTrailing: 511 }, tar(header({}), trailer)],
  ] satisfies [TarOptions, Buffer][])
    test(`what is over ${Object.keys(options)[0]}`, () => {
      refuses(
        archive,
        'LIMIT',
        new RegExp(`the limit ${Object.keys(options)[0]} is ${Object.values(options)[0]}`),
        options,
      )
    })
})

describe('the end', () => {
  const sample = Buffer.concat([
    pax({ path: 'a/pax', 'SCHILY.xattr.user.a': 'b' }),
    file({}, 'x'.repeat(600)),
    gnuLong('L', 'a/gnu'),
    header({ dialect: 'gnu', typeflag: '5' }),
    pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 's', 'GNU.sparse.realsize': '9' }),
    file({}, Buffer.concat([padded('1\n8\n1\n'), Buffer.from('z')])),
    file({ name: 'full' }, 'y'.repeat(512)),
  ])
  test('cut at every byte: refused, but between entries', () => {
    const whole = Buffer.concat([sample, trailer])
    const accepted: number[] = []
    for (let length = 0; length < whole.length; length++) {
      try {
        takeApart(whole.subarray(0, length), 300)
        accepted.push(length)
      } catch (error) {
        assert.ok(hasCode(error, 'BAD_FORMAT'), String(error))
      }
    }
    // Between entries, and after the first of the two zero blocks.
    assert.deepEqual(accepted, [0, 2560, 4096, 6656, sample.length, sample.length + 512])
  })

  for (const [what, end] of [
    ['two zero blocks', trailer],
    ['nothing', Buffer.alloc(0)],
    ['one zero block', Buffer.alloc(512)],
    ['blocks up to 10240', Buffer.alloc(10_240)],
    ['garbage after the marker', Buffer.concat([trailer, Buffer.from('garbage, of any length')])],
    ['another archive after the marker', Buffer.concat([trailer, tar(header({ name: 'hidden' }))])],
    ['a global header', pax({ comment: 'c' }, 'g')],
  ] as const)
    test(what, () => {
      const bytes = Buffer.concat([sample, end])
      const parts = takeApart(bytes, 99)
      assert.deepEqual(
        parts.entries.map(({ path }) => path),
        ['a/pax', 'a/gnu', 's', 'full'],
      )
      checkRecipe(bytes, parts)
    })
})

describe('the parser', () => {
  const archive = tar(file({ name: 'a' }, 'x'.repeat(1000)), file({ name: 'b' }, 'y'.repeat(10)))

  test('hands out views of the chunk, shared memory included', () => {
    const memory = new SharedArrayBuffer(archive.length + 7)
    const chunk = new Uint8Array(memory, 7)
    chunk.set(archive)
    const seen: string[] = []
    const view = (bytes: Uint8Array): number => {
      assert.equal(bytes.buffer, memory)
      return bytes.length
    }
    const parser = new TarParser({
      framing: (bytes) => void seen.push(`framing ${view(bytes)}`),
      entry: ({ path }) => void seen.push(path),
      data: (bytes) => void seen.push(`data ${view(bytes)}`),
      endEntry: () => void seen.push('end'),
    })
    parser.write(chunk)
    parser.end()
    assert.deepEqual(seen, [
      'framing 512',
      'a',
      'data 1000',
      'end',
      'framing 536',
      'b',
      'data 10',
      'end',
      'framing 1526',
    ])
  })

  test('passes over a body on request, for this entry only', () => {
    let data = 0
    let ends = 0
    const parser: TarParser = new TarParser({
      framing() {},
      entry: ({ path }) => {
        if (path === 'a') parser.skipBody()
      },
      data: (bytes) => void (data += bytes.length),
      endEntry: () => void ends++,
    })
    for (const byte of archive) parser.write(Uint8Array.of(byte))
    parser.end()
    assert.deepEqual([data, ends], [10, 2])
  })

  test('goes on after a body that lies elsewhere', () => {
    const paths: string[] = []
    const parser: TarParser = new TarParser({
      framing() {},
      entry: ({ path }) => {
        paths.push(path)
        parser.bodyElsewhere()
      },
      data: () => assert.fail('there is no data'),
      endEntry() {},
    })
    parser.write(Buffer.concat([archive.subarray(0, 512), archive.subarray(1512, 2048), archive.subarray(2058)]))
    assert.equal(parser.ended, true)
    parser.end()
    assert.deepEqual(paths, ['a', 'b'])
  })

  test('holds no more than a header: a body of 64 GiB in pieces of 1 MiB', () => {
    const piece = new Uint8Array(2 ** 20)
    let total = 0
    const parser = new TarParser({
      framing() {},
      entry() {},
      data: (bytes) => void (total += bytes.length),
      endEntry() {},
    })
    parser.write(header({ size: base256(2n ** 36n, 12) }))
    for (let i = 0; i < 2 ** 16; i++) parser.write(piece)
    parser.end()
    assert.equal(total, 2 ** 36)
  })

  test('says what a limit is called', () => {
    assert.throws(
      () => takeApart(archive, 512, { maxEntrySize: 999 }),
      (error) =>
        error instanceof OnefoldError &&
        error.message === 'Cannot read tar: "a" is too large: it has 1000 bytes, the limit maxEntrySize is 999' &&
        error.hint === 'Raise the limit maxEntrySize if you trust the archive.',
    )
  })
})

test('odd and damaged archives: the same in pieces of any size, and back from the recipe', () => fuzzTar(1, 1500))
