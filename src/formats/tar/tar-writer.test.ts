import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { checkRecipe, takeApart } from '../../../test/fixtures/tar-parts.ts'
import { hasCode } from '../../error.ts'
import { type Entry, type EntryType, newEntry, noContent } from '../entry.ts'
import { type TarOptions, TarParser } from './tar-parser.ts'
import { tarPadding, tarTrailer, writeTarHeader } from './tar-writer.ts'

const plain = newEntry({ path: 'a', type: 'file', mtime: 1_700_000_000 })

function writeTar(...entries: (readonly [Entry, Uint8Array])[]): Buffer {
  const parts = entries.flatMap(([entry, body]) => [writeTarHeader(entry, body.length), body, tarPadding(body.length)])
  return Buffer.concat([...parts, tarTrailer()])
}

const path = fc
  .array(
    fc
      .string({
        unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
        minLength: 1,
        maxLength: 90,
      })
      .filter((name) => !name.includes('/') && name !== '.' && name !== '..'),
    { minLength: 1, maxLength: 6 },
  )
  .map((names) => names.join('/'))
const bytes = fc.uint8Array({ maxLength: 40 })
const id = fc.oneof(fc.nat(3_000_000), fc.integer({ min: 0, max: 0xfffffffe }))
const link = fc.oneof(
  path,
  path.map((target) => `../${target}/`),
)

const anyEntry: fc.Arbitrary<[Entry, Uint8Array]> = fc
  .record({
    path,
    type: fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'hardlink', 'char', 'block', 'fifo'),
    mode: fc.nat(0o7777),
    uid: id,
    gid: id,
    mtime: fc.oneof(fc.nat(2_000_000_000), fc.integer({ min: -(2 ** 45), max: 2 ** 45 })),
    mtimeNsec: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    major: fc.nat(0xfff),
    minor: fc.nat(0xfffff),
    link,
    target: path,
    xattrs: fc.array(fc.tuple(fc.constantFrom('user.a', 'user.b', 'user.c=d', 'security.\xff%'), bytes), {
      maxLength: 3,
    }),
    body: fc.uint8Array({ maxLength: 1200 }),
  })
  .map(({ body, target, xattrs, ...entry }) => {
    const device = entry.type === 'char' || entry.type === 'block'
    const content = entry.type === 'file' ? body : new Uint8Array()
    return [
      {
        ...entry,
        major: device ? entry.major : 0,
        minor: device ? entry.minor : 0,
        link: entry.type === 'symlink' ? entry.link : entry.type === 'hardlink' ? target : '',
        xattrs: new Map(xattrs),
        content: content.length === 0 ? noContent : { kind: 'unknown', size: content.length },
      },
      content,
    ]
  })

test('what is written is read back', () => {
  fc.assert(
    fc.property(fc.array(anyEntry, { maxLength: 5 }), (wanted) => {
      const tar = writeTar(...wanted)
      const parts = takeApart(tar, 777)
      assert.deepEqual(
        parts.entries,
        wanted.map(([entry]) => entry),
      )
      assert.deepEqual(
        parts.contents,
        wanted.map(([, body]) => Buffer.from(body)),
      )
      checkRecipe(tar, parts)
    }),
    { numRuns: 300 },
  )
})

describe('ustar as long as it can', () => {
  for (const [what, entry, size, blocks] of [
    ['a plain file', plain, 0o77777777777, 1],
    ['a file beyond 8 GiB', plain, 0o100000000000, 3],
    ['a name of 100 bytes', { ...plain, path: 'n'.repeat(100) }, 0, 1],
    ['a name of 101 bytes', { ...plain, path: 'n'.repeat(101) }, 0, 3],
    ['a directory of 100 bytes, its slash the 101st', { ...plain, type: 'directory', path: 'n'.repeat(100) }, 0, 3],
    ['a path that can be cut', { ...plain, path: `${'p'.repeat(155)}/${'n'.repeat(100)}` }, 0, 1],
    ['a path that can be cut in one place', { ...plain, path: `a/${'p'.repeat(150)}/${'n'.repeat(99)}` }, 0, 1],
    ['a path that cannot', { ...plain, path: `${'p'.repeat(156)}/n` }, 0, 3],
    ['a path whose first part is too long', { ...plain, path: `${'p'.repeat(155)}/x/${'n'.repeat(99)}` }, 0, 3],
    ['a target of 100 bytes', { ...plain, type: 'symlink', link: 't'.repeat(100) }, 0, 1],
    ['a target of 101 bytes', { ...plain, type: 'symlink', link: 't'.repeat(101) }, 0, 3],
    ['a large user id', { ...plain, uid: 0o7777777 }, 0, 1],
    ['a larger one', { ...plain, uid: 0o10000000 }, 0, 3],
    ['a fraction', { ...plain, mtimeNsec: 1 }, 0, 3],
    ['before 1970', { ...plain, mtime: -1 }, 0, 3],
    ['an attribute', { ...plain, xattrs: new Map([['user.a', Uint8Array.of(1)]]) }, 0, 3],
  ] satisfies [string, Entry, number, number][])
    test(`${what}: ${blocks} blocks`, () => assert.equal(writeTarHeader(entry, size).length, blocks * 512))
})

test('every bit of it is decided', () => {
  const all: Entry = {
    ...plain,
    path: `${'\xe9'.repeat(200)}/x`,
    uid: 2 ** 31,
    mtime: -2,
    mtimeNsec: 500_000_000,
    xattrs: new Map([
      ['user.b', Uint8Array.of(0, 10)],
      ['user.a', new Uint8Array()],
    ]),
  }
  const written = writeTarHeader(all, 3)
  const records = Buffer.from(written).toString('latin1', 512).replace(/\0.*/s, '')
  assert.equal(
    records,
    [
      '21 hdrcharset=BINARY',
      `212 path=${'\xe9'.repeat(200)}/x`,
      '18 uid=2147483648',
      '14 mtime=-1.5',
      '24 SCHILY.xattr.user.a=',
      '29 LIBARCHIVE.xattr.user.a==',
      '26 SCHILY.xattr.user.b=',
    ].join('\n'),
  )
  assert.equal(
    createHash('sha256').update(written).digest('hex'),
    '78284444fd46ce791f0cb289dc9f2094b6f9a7786d5addb788bb2b15435b5985',
  )
})

test('a socket is refused', () => {
  assert.throws(
    () => writeTarHeader({ ...plain, type: 'socket' }, 0),
    (error) => hasCode(error, 'UNSUPPORTED'),
  )
})

const listing = `
import sys, tarfile
for m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|', errors='surrogateescape'):
    print(repr((m.name.encode(errors='surrogateescape'), m.type, m.mode, m.uid, m.gid, m.mtime, m.linkname, m.size, m.devmajor, m.devminor)))
`

test('a socket of a tree is a FIFO to others, and a socket to whoever looks for it', () => {
  const socket: Entry = { ...plain, type: 'socket', path: 'run/s', xattrs: new Map([['user.x', Buffer.from('1')]]) }
  const tar = Buffer.concat([writeTarHeader(socket, 0, { sockets: 'fileType' }), tarTrailer()])
  const read = (options: TarOptions): Entry[] => {
    const entries: Entry[] = []
    const handler = { framing() {}, entry: (entry: Entry) => void entries.push(entry), data() {}, endEntry() {} }
    const parser = new TarParser(handler, options)
    parser.write(tar)
    parser.end()
    return entries
  }
  assert.deepEqual(
    read({ fileTypes: 'apply' }).map(({ path, type, xattrs }) => [path, type, [...xattrs.keys()]]),
    [['run/s', 'socket', ['user.x']]],
  )
  for (const options of [{}, { fileTypes: 'ignore' } as const])
    assert.deepEqual(
      read(options).map(({ type }) => type),
      ['fifo'],
    )
  // Nothing but a FIFO becomes one.
  const file = Buffer.from(tar)
  const at = file.lastIndexOf('ustar') - 257
  file[at + 156] = '0'.charCodeAt(0)
  sumAgain(file.subarray(at, at + 512))
  const parser = new TarParser(
    { framing() {}, entry: (entry) => assert.equal(entry.type, 'file'), data() {}, endEntry() {} },
    { fileTypes: 'apply' },
  )
  parser.write(file)
  parser.end()
})

/** Puts the sum of a header block in its place. */
function sumAgain(block: Buffer): void {
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

test('GNU tar and Python read it', { skip: needsPrograms('tar', 'python3') }, () => {
  const long = `${'n'.repeat(200)}/\xe9`
  const tar = writeTar(
    [{ ...plain, path: '', type: 'directory', mode: 0o755 }, new Uint8Array()],
    [{ ...plain, path: long, uid: 3_000_000_000, mtimeNsec: 500_000_000 }, Buffer.from('hello')],
    [{ ...plain, path: 's', type: 'symlink', link: 't'.repeat(120) }, new Uint8Array()],
    [{ ...plain, path: 'd', type: 'char', major: 259, minor: 1_000_000 }, new Uint8Array()],
  )
  const read = execFileSync('python3', ['-c', listing], { input: tar, encoding: 'utf8' }).trim().split('\n')
  assert.deepEqual(read, [
    `(b'.', b'5', 493, 0, 0, 1700000000, '', 0, 0, 0)`,
    `(b'${'n'.repeat(200)}/\\xe9', b'0', 420, 3000000000, 0, 1700000000.5, '', 5, 0, 0)`,
    `(b's', b'2', 420, 0, 0, 1700000000, '${'t'.repeat(120)}', 0, 0, 0)`,
    `(b'd', b'3', 420, 0, 0, 1700000000, '', 0, 259, 1000000)`,
  ])
  const listed = execFileSync('tar', ['-tv', '--numeric-owner', '--quoting-style=escape', '-f', '-'], {
    input: tar,
    env: { TZ: 'UTC' },
    encoding: 'utf8',
  })
  assert.match(listed, /^drwxr-xr-x 0\/0 +0 2023-11-14 22:13 \.\/$/m)
  assert.match(listed, new RegExp(`^-rw-r--r-- 3000000000/0 +5 2023-11-14 22:13 n{200}/\\\\351$`, 'm'))
  assert.match(listed, /^crw-r--r-- 0\/0 +259,1000000 2023-11-14 22:13 d$/m)
})
