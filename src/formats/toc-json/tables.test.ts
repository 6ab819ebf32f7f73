import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fuzzTocJson } from '../../../test/fuzz/toc.ts'
import { digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import type { ContentIndex } from '../content-index.ts'
import { newEntry } from '../entry.ts'
import { readChunkedTable } from '../zstd-chunked/read-chunked.ts'
import { type TocLimits, defaultTocLimits, readTocJson } from './toc-json.ts'
import { readStargzTable } from './stargz-table.ts'

type Json = Readonly<Record<string, unknown>>

const payloadEnd = 1000
const layer = { mediaType: 'layer', digest: digestOf('layer'), size: 1100 }
const [a, b, ab] = ['a', 'b', 'ab'].map((text) => digestOf(text))

function bytesOf(value: unknown): Buffer {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
}

function stargz(entries: readonly Json[], limits: TocLimits = {}): ContentIndex {
  const all = { ...defaultTocLimits, ...limits }
  const document = readTocJson(bytesOf({ version: 1, entries }), all)
  return readStargzTable(document, { format: 'estargz', layer, bound: true, payloadEnd, coding: 'gzip' }, all)
}

function chunked(entries: readonly Json[]): ContentIndex {
  return readChunkedTable(
    readTocJson(bytesOf({ version: 1, entries }), defaultTocLimits),
    { layer, bound: true, payloadEnd },
    defaultTocLimits,
  )
}

function refuses(read: () => unknown, code: Code, found: RegExp): void {
  assert.throws(read, (error) => hasCode(error, code) && found.test(error.message))
}

test('everything an entry says', () => {
  const { files } = stargz([
    { name: './', type: 'dir', mode: 0o40755 },
    {
      name: 'd/\u00fc',
      type: 'char',
      mode: 0o104777,
      uid: 1,
      gid: 2,
      modtime: '2001-09-09T03:46:40.5+02:00',
      devMajor: 4095,
      devMinor: 1_048_575,
      xattrs: { 'user.x': 'AQI=', 'user.empty': '', 'user.null': null },
    },
    { name: 'hard/', type: 'hardlink', linkName: './d/\u00fc', size: 5 },
    { name: 'soft', type: 'symlink', linkName: '../x/', xattrs: null, modtime: '' },
  ])
  assert.deepEqual(
    files.map(({ entry }) => entry),
    [
      newEntry({ path: '', type: 'directory', mode: 0o755 }),
      newEntry({
        path: 'd/\xc3\xbc',
        type: 'char',
        mode: 0o4777,
        uid: 1,
        gid: 2,
        mtime: 1_000_000_000,
        mtimeNsec: 500_000_000,
        major: 4095,
        minor: 1_048_575,
        xattrs: new Map([['user.x', Uint8Array.of(1, 2)]]),
      }),
      newEntry({ path: 'hard', type: 'hardlink', mode: 0, link: 'd/\xc3\xbc' }),
      newEntry({ path: 'soft', type: 'symlink', mode: 0, link: '../x/' }),
    ],
  )
})

test('members and chunks of eStargz', () => {
  const layer = stargz([
    { name: 'one', type: 'reg', size: 1, offset: 10, digest: a },
    { name: 'two', type: 'reg', size: 7, offset: 10, innerOffset: 1536, digest: ab, chunkSize: 3, chunkDigest: a },
    { name: 'two', type: 'chunk', offset: 200, chunkOffset: 3, chunkSize: 3, chunkDigest: b },
    { name: './two', type: 'chunk', offset: 300, chunkOffset: 6, chunkDigest: a },
    { name: 'empty', type: 'reg', digest: digestOf('') },
    { name: 'full', type: 'reg', size: 3, offset: 301, chunkSize: 3, chunkDigest: b },
  ])
  const coding = { kind: 'gzip' }
  assert.deepEqual(layer.units, [
    { blob: 0, start: 10, end: 200, coding, digests: {} },
    { blob: 0, start: 200, end: 300, coding, digests: {} },
    { blob: 0, start: 300, end: 301, coding, digests: {} },
    { blob: 0, start: 301, end: payloadEnd, coding, digests: {} },
  ])
  assert.deepEqual(layer.chunking, { kind: 'fixed', size: 3 })
  assert.deepEqual(
    layer.files.map(({ digests, extents }) => ({ digests, extents })),
    [
      { digests: { sha256: a }, extents: [{ offset: 0, length: 1, digests: { sha256: a }, unit: 0, skip: 0 }] },
      {
        digests: { sha256: ab },
        extents: [
          { offset: 0, length: 3, digests: { sha256: a }, unit: 0, skip: 1536 },
          { offset: 3, length: 3, digests: { sha256: b }, unit: 1, skip: 0 },
          { offset: 6, length: 1, digests: { sha256: a }, unit: 2, skip: 0 },
        ],
      },
      { digests: {}, extents: [] },
      { digests: {}, extents: [{ offset: 0, length: 3, digests: { sha256: b }, unit: 3, skip: 0 }] },
    ],
  )
})

test('landmarks and the table are known by the landmark', () => {
  const file = (name: string, offset: number, digest: unknown, size = 1): Json => ({
    name,
    type: 'reg',
    size,
    offset,
    digest,
  })
  const paths = (...entries: Json[]): string[] => stargz(entries).files.map(({ entry }) => entry.path)
  const landmark = digestOf(Buffer.of(15))
  assert.deepEqual(paths(file('.prefetch.landmark', 1, landmark), file('x', 2, a), file('stargz.index.json', 3, a)), [
    'x',
  ])
  const names = ['.prefetch.landmark', 'd/.no.prefetch.landmark', 'stargz.index.json']
  assert.deepEqual(paths(file(names[0]!, 1, a), file(names[1]!, 2, landmark), file(names[2]!, 3, a)), names)
})

test('frames and chunks of zstd:chunked', () => {
  const layer = chunked([
    { type: 'reg', name: 'one', size: 1, digest: a, offset: 10, endOffset: 20 },
    { type: 'reg', name: 'two', size: 9, digest: ab, offset: 30, endOffset: 90, chunkSize: 3, chunkDigest: a },
    { type: 'chunk', name: 'two', offset: 50, chunkOffset: 3, chunkSize: 2, chunkDigest: b, chunkType: 'zeros' },
    { type: 'chunk', name: 'two', offset: 60, chunkOffset: 5, chunkSize: 4, chunkDigest: a },
  ])
  const coding = { kind: 'zstd' }
  assert.deepEqual(layer.units, [
    { blob: 0, start: 10, end: 20, coding, digests: {} },
    { blob: 0, start: 30, end: 50, coding, digests: {} },
    { blob: 0, start: 60, end: 90, coding, digests: {} },
  ])
  assert.deepEqual(layer.files[1]!.extents, [
    { offset: 0, length: 3, digests: { sha256: a }, unit: 1, skip: 0 },
    { offset: 3, length: 2, digests: { sha256: b }, unit: undefined, skip: 0 },
    { offset: 5, length: 4, digests: { sha256: a }, unit: 2, skip: 0 },
  ])
})

describe('tables that lie', () => {
  const file = { name: 'f', type: 'reg', size: 4, offset: 10, digest: a }
  const half = { name: 'f', type: 'chunk', offset: 20, chunkOffset: 2, chunkDigest: b }
  const cases: [name: string, entries: Json[], found: RegExp, code?: Code][] = [
    ['an offset in the table', [{ ...file, offset: payloadEnd }], /behind the tar's end/],
    ['an offset beyond 2^53', [{ ...file, offset: 2 ** 53 }], /offset is no whole number/],
    ['members out of order', [{ ...file, name: 'e', offset: 11 }, file], /overlaps/],
    [
      'content twice in a member',
      [
        { ...file, name: 'e' },
        { ...file, innerOffset: 3 },
      ],
      /overlaps/,
    ],
    ['an inner offset beyond 2^53', [{ ...file, innerOffset: 2 ** 53 - 2 }], /innerOffset is beyond/],
    [
      'a chunk too many',
      [{ ...file, chunkSize: 2 }, half, { ...half, offset: 30, chunkOffset: 4 }],
      /not within its 4/,
    ],
    ['a chunk too few', [{ ...file, chunkSize: 2 }], /have 2 of its 4 bytes/],
    ['a gap between chunks', [{ ...file, chunkSize: 1 }, half], /does not begin at 1/],
    ['chunks that overlap', [{ ...file, chunkSize: 3 }, half], /does not begin at 3/],
    ['a chunk to the end and another', [file, half], /does not begin at 4/],
    [
      'a chunk beyond the end',
      [
        { ...file, chunkSize: 2 },
        { ...half, chunkSize: 3 },
      ],
      /not within its 4/,
    ],
    ['a chunk of nothing', [half], /without a file/],
    [
      'a chunk of another file',
      [
        { ...file, chunkSize: 2 },
        { ...half, name: 'g' },
      ],
      /of another file/,
    ],
    ['a chunk of an empty file', [{ ...file, size: 0 }, half], /chunks and no content/],
    ['two digests for one content', [{ ...file, chunkDigest: b }], /two digests/],
    ['a name twice', [file, { ...file, name: './f', offset: 20 }], /is in it twice/, 'UNSUPPORTED'],
    ['no digest', [{ ...file, digest: undefined }], /no digest/, 'UNSUPPORTED'],
    [
      'no digest of a chunk',
      [
        { ...file, digest: '', chunkSize: 2, chunkDigest: a },
        { ...half, chunkDigest: '' },
      ],
      /no digest/,
      'UNSUPPORTED',
    ],
    ['a digest that is none', [{ ...file, digest: 'sha256:ab' }], /no sha256 digest/],
    ['a digest of another kind', [{ ...file, digest: digestOf('a', 'sha512') }], /no sha256 digest/],
    ['a negative size', [{ ...file, size: -1 }], /size is no whole number/],
    ['a size that is text', [{ ...file, size: '4' }], /size is no whole number/],
    ['no name', [{ ...file, name: '/' }], /has no name/],
    ['a name that is a number', [{ ...file, name: 5 }], /name is no string/],
    ['a name that leads out', [{ ...file, name: 'a/../../b' }], /leads out/],
    ['a name with NUL', [{ ...file, name: 'a\0' }], /NUL/],
    ['a name that lost bytes', [{ ...file, name: 'a\ufffd' }], /has lost bytes/, 'UNSUPPORTED'],
    ['half of a surrogate pair', [{ ...file, name: 'a\ud800' }], /has lost bytes/, 'UNSUPPORTED'],
    ['an unknown type', [{ ...file, type: 'socket' }], /type is unknown/],
    ['a type of every object', [{ ...file, type: 'constructor' }], /type is unknown/],
    ['a link without target', [{ name: 'l', type: 'symlink' }], /no target/],
    ['a target with NUL', [{ name: 'l', type: 'symlink', linkName: 'a\0b' }], /cannot be one/],
    ['a time that is none', [{ ...file, modtime: '2023-02-29T00:00:00Z' }], /modtime is no time/],
    ['an owner beyond Linux', [{ ...file, uid: 2 ** 32 }], /uid is 4294967296/],
    ['a device beyond Linux', [{ name: 'c', type: 'block', devMajor: 4096 }], /devMajor is 4096/],
    ['xattrs that are a list', [{ ...file, xattrs: [] }], /no object/],
    ['a value that is no base64', [{ ...file, xattrs: { 'user.x': 'a' } }], /not base64/],
    ['a value too long for Linux', [{ ...file, xattrs: { 'user.x': 'A'.repeat(100_000) } }], /not base64, or too long/],
    ['an xattr without a name', [{ ...file, xattrs: { '': 'AQI=' } }], /xattr/],
  ]
  for (const [name, entries, found, code = 'BAD_FORMAT'] of cases)
    test(name, () => refuses(() => stargz(entries), code, found))

  const whole = { type: 'reg', name: 'f', size: 4, digest: a, offset: 10, endOffset: 20 }
  const part = { type: 'chunk', name: 'f', offset: 15, chunkOffset: 2, chunkSize: 2, chunkDigest: b }
  const chunkedCases: [name: string, entries: Json[], found: RegExp][] = [
    ['an end before the beginning', [{ ...whole, endOffset: 10 }], /from 10 to 10/],
    ['an end in the table', [{ ...whole, endOffset: payloadEnd + 1 }], /from 10 to 1001/],
    ['frames out of order', [whole, { ...whole, name: 'g', offset: 5, endOffset: 9 }], /overlaps/],
    ['frames of two files', [whole, { ...whole, name: 'g', offset: 19, endOffset: 30 }], /overlaps/],
    [
      'a chunk behind the end of its file',
      [
        { ...whole, chunkSize: 2 },
        { ...part, offset: 20 },
      ],
      /from 20 to 20/,
    ],
    ['a chunk of an unknown type', [{ ...whole, chunkSize: 2, chunkType: 'ones' }, part], /chunkType is unknown/],
    [
      'a hole that is too long',
      [
        { ...whole, chunkSize: 2 },
        { ...part, chunkSize: 2 ** 40, chunkType: 'zeros' },
      ],
      /not within/,
    ],
  ]
  for (const [name, entries, found] of chunkedCases)
    test(`zstd:chunked: ${name}`, () => refuses(() => chunked(entries), 'BAD_FORMAT', found))
})

describe('documents', () => {
  const cases: [name: string, document: unknown, code: Code, found: RegExp, limits?: TocLimits][] = [
    ['no JSON', '{', 'BAD_FORMAT', /not JSON/],
    ['no object', '[]', 'BAD_FORMAT', /no JSON object/],
    ['another version', { version: 2 }, 'UNSUPPORTED', /version/],
    ['entries that are no list', { version: 1, entries: {} }, 'BAD_FORMAT', /no list/],
    ['an entry that is no object', { version: 1, entries: [null] }, 'BAD_FORMAT', /no object/],
    ['more bytes than allowed', { version: 1 }, 'LIMIT', /maxTocBytes is 5/, { maxTocBytes: 5 }],
    [
      'more values than entries can have',
      `{"version":1,"entries":[${'[],'.repeat(100)}[]]}`,
      'LIMIT',
      /values/,
      { maxEntries: 1 },
    ],
    [
      'more values than a table of its size has, in one of no size at all when it is compressed',
      `{"version":1,"entries":[${'{},'.repeat(4_000_000)}{}]}`,
      'LIMIT',
      /^Cannot read a table of contents: it has more than 1333333 values$/,
      { maxTocBytes: 16_000_000 },
    ],
    [
      'commas in strings do not count',
      { version: 1, entries: ',[{'.repeat(100) },
      'BAD_FORMAT',
      /no list/,
      { maxEntries: 1 },
    ],
  ]
  for (const [name, document, code, found, limits] of cases)
    test(name, () => refuses(() => readTocJson(bytesOf(document), { ...defaultTocLimits, ...limits }), code, found))

  test('bytes that are no UTF-8', () => {
    refuses(
      () => readTocJson(Buffer.from('{"version":1,"x":"\xff"}', 'latin1'), defaultTocLimits),
      'BAD_FORMAT',
      /UTF-8/,
    )
  })

  test('Go prints an empty list as null', () => {
    assert.deepEqual(stargz(null as unknown as Json[]).files, [])
  })

  test('limits of a tar hold for its table', () => {
    const file = (name: string, offset: number): Json => ({ name, type: 'reg', size: 4, offset, digest: a })
    refuses(() => stargz([file('a', 1)], { maxEntrySize: 3 }), 'LIMIT', /maxEntrySize/)
    refuses(() => stargz([file('a', 1), file('b', 2)], { maxTotal: 7 }), 'LIMIT', /maxTotal/)
    refuses(() => stargz([file('a', 1), file('b', 2)], { maxEntries: 1 }), 'LIMIT', /maxEntries/)
  })
})

test('damaged and lying tables', () => fuzzTocJson(1, 400))
