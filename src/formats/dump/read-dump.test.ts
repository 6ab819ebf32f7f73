import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzzDump } from '../../../test/fuzz/dump.ts'
import { fuzzMutatedDumps } from '../../../test/fuzz/mutants.ts'
import { outline, randomTree } from '../../../test/fixtures/random-tree.ts'
import { vectors } from '../../../test/vectors.ts'
import { type Code, OnefoldError, hasCode } from '../../error.ts'
import { composeImage } from '../../image/stream-image.ts'
import { unflatten } from '../flat/flatten.ts'
import { type Inode, inodeOf } from '../tree.ts'
import { type DumpOptions, DumpReader, parseDump } from './read-dump.ts'
import { writeDump } from './write-dump.ts'

const root = '/ 4096 40755 2 0 0 0 0.0 - - -\n'
const digest = '0123456789abcdef'.repeat(4)

describe('parseDump', () => {
  test('of what compat takes, checks refuses what CFS_PARSE_STRICT does', () => {
    const cases: [dump: string, compat: boolean, checked: boolean][] = [
      [root, true, true],
      [root.trim(), true, false],
      ['/l 9 120777 1 0 0 0 0.0 target - -\n', true, false],
      ['/l 6 120777 1 0 0 0 0.0 target - -\n', true, true],
      ['/l 6 120777 1 0 0 0 0.0 target target -\n', true, false],
      ['/l 6 120777 1 0 0 0 0.0 target  -\n', true, true],
      ['/f 0 100644 1 0 0 7 0.0 - - -\n', true, false],
      ['/d 7 20644 1 0 0 7 0.0 - - -\n', true, true],
      ['//f 0 100644 1 +0 0 0 0.0 - - -\n', true, true],
      ['/f 100 100644 1 0 0 0 0.0 x - 12\n', false, false],
      ['/f 0 100644 1 5 x 0 0.0 - - -\n', false, false],
      ['/d 0 20644 1 5 0 x 0.0 - - -\n', false, false],
    ]
    const isTaken = (text: string, options: DumpOptions): boolean => {
      try {
        return parseDump(Buffer.from(text), options) !== undefined
      } catch (error) {
        assert.ok(hasCode(error, 'BAD_FORMAT'))
        return false
      }
    }
    for (const [text, compat, checked] of cases) {
      const dump = text.startsWith('/ ') ? text : root + text
      const taken = [{}, { checks: true }].map((more) => isTaken(dump, { compat: true, ...more }))
      assert.deepEqual(taken, [compat, checked], text)
    }
  })

  const lines: [line: string, path: string, want: Partial<Inode>][] = [
    ['/a 0 100644 1 0 0 0 0.0 - - -', 'a', { mode: 0o100644, nlink: 1, content: { kind: 'empty' } }],
    [
      '/a 0 100644 3 1 4294967295 0 -5.999999999 - - -',
      'a',
      { nlink: 3, uid: 1, gid: 0xffffffff, mtime: -5, mtimeNsec: 999_999_999 },
    ],
    ['/a\\x20b\\n 0 107777 1 0 0 0 1.1 - - -', 'a b\n', { mode: 0o107777, mtime: 1, mtimeNsec: 1 }],
    ['/\xff\\xFE 0 10644 1 0 0 0 0.0 - - -', '\xff\xfe', { mode: 0o010644 }],
    [
      '/a 3 100644 1 0 0 0 0.0 - \\x2d=\\\\ -',
      'a',
      { content: { kind: 'inline', bytes: new Uint8Array(Buffer.from('-=\\')) } },
    ],
    ['/a 1 100644 1 0 0 0 0.0 x y z', 'a', { content: { kind: 'inline', bytes: new Uint8Array(Buffer.from('y')) } }],
    [
      `/a 70 100644 1 0 0 0 0.0 01/${digest.slice(2)} - ${digest}`,
      'a',
      { content: { kind: 'object', digest, size: 70 } as never },
    ],
    [
      `/a 70 100644 1 0 0 0 0.0 x/y - ${digest}`,
      'a',
      { content: { kind: 'object', digest, size: 70, path: 'x/y' } as never },
    ],
    [
      `/a 70 100644 1 0 0 0 0.0 - - ${digest}`,
      'a',
      { content: { kind: 'object', digest, size: 70, path: '' } as never },
    ],
    ['/a 70 100644 1 0 0 0 0.0 x/y - -', 'a', { content: { kind: 'unknown', size: 70, path: 'x/y' } }],
    ['/a 9007199254740992 100644 1 0 0 0 0.0 - - -', 'a', { content: { kind: 'unknown', size: 2 ** 53 } }],
    ['/a 3 120777 1 0 0 0 0.0 b\\tc - -', 'a', { target: 'b\tc' }],
    ['/a 0 20644 1 0 0 4294967295 0.0 - - -', 'a', { rdev: 0xffffffff }],
    [
      '/a 0 100644 1 0 0 0 0.0 - - - user.a=b=c user.\\x3d=',
      'a',
      {
        xattrs: new Map([
          ['user.a', Buffer.from('b=c')],
          ['user.=', Buffer.from('')],
        ]),
      },
    ],
    ['/a 0 100644 1 0 0 0 0.0 - - - user.a=1 user.a=-', 'a', { xattrs: new Map([['user.a', Buffer.from('-')]]) }],
    ['/a 0 40755 99 0 0 0 0.0 - - -\n/a/b 0 40755 99 0 0 0 0.0 - - -', 'a', { nlink: 3 }],
  ]
  for (const [line, path, want] of lines)
    test(`reads ${JSON.stringify(line)}`, () => {
      const inode = childOf(parse(`${root}${line}\n`), path)
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, inode[key as keyof Inode]])), want)
    })

  test('follows hard links forward, backward and to one another', () => {
    const tree = parse(
      `${root}/a 0 @100644 - - - - - /z - -\n/b 0 @120000 - - - - - /a - -\n/c 0 @100644 - - - - - /z - -\n/z 0 100644 4 0 0 0 0.0 - - -\n`,
    )
    const z = tree.children.get('z')
    assert.ok(z)
    for (const name of ['a', 'b', 'c']) assert.equal(inodeOf(tree.children.get(name) ?? z), inodeOf(z))
    assert.ok('mode' in z)
  })

  test('takes a chain of 100,000 hard links', () => {
    const links = Array.from({ length: 100_000 }, (_, i) => `/${i} 0 @100644 - - - - - /${i + 1} - -\n`).join('')
    const tree = parse(`${root}${links}/100000 0 100644 1 0 0 0 0.0 - - -\n`)
    assert.equal(inodeOf(tree.children.get('0') ?? tree), tree.children.get('100000'))
  })

  const refused: [text: string, code: Code, at: string, message: RegExp][] = [
    ['', 'BAD_FORMAT', '1:1', /nothing; expected a line/],
    ['\n', 'BAD_FORMAT', '1:1', /no PATH/],
    ['/a 0 40755 2 0 0 0 0.0 - - -\n', 'BAD_FORMAT', '1:1', /expected "\/" on the first line/],
    ['/ 0 100644 2 0 0 0 0.0 - - -\n', 'BAD_FORMAT', '1:5', /root to be a directory/],
    ['/ 0 40755 2 0 0 0 0.0 - - -', 'BAD_FORMAT', '1:28', /no newline/],
    [`${root}${root}`, 'BAD_FORMAT', '2:1', /a name of 1 to 255/],
    [`${root}a 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /begins with "\/"/],
    [`${root}/a/b 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /its parent/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - -\n/a/b 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '3:1', /its parent/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - -\n/a 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '3:1', /there already/],
    [`${root}/. 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /a name of 1 to 255/],
    [`${root}/a\\x2fb 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /a name of 1 to 255/],
    [`${root}/${'x'.repeat(256)} 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /a name of 1 to 255/],
    [`${root}/a\\x00 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:2', /zero byte/],
    [`${root}/a\0 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:3', /zero byte/],
    [`${root}/a\\q 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:3', /expected \\\\/],
    [`${root}/a\\x1 0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:3', /expected \\\\/],
    [`${root}/a 0 644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:6', /bits of a file type/],
    [`${root}/a 0 100684 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:6', /MODE: "100684" is no number/],
    [`${root}/a x 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:4', /SIZE: "x"/],
    [`${root}/a 0 100644 1 -1 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:15', /UID: "-1"/],
    [`${root}/a 0 100644 1 0 4294967296 0 0.0 - - -\n`, 'BAD_FORMAT', '2:17', /GID/],
    [`${root}/a 0 20644 1 0 0 x 0.0 - - -\n`, 'BAD_FORMAT', '2:18', /RDEV/],
    [`${root}/a 0 100644 1 0 0 7 0.0 - - -\n`, 'BAD_FORMAT', '2:19', /0 for what is no device/],
    [`${root}/a 0 100644 1 0 0 0 0 - - -\n`, 'BAD_FORMAT', '2:21', /MTIME: expected seconds, a dot/],
    [`${root}/a 0 100644 1 0 0 0 0. - - -\n`, 'BAD_FORMAT', '2:21', /MTIME/],
    [`${root}/a 0 100644 1 0 0 0 0.1000000000 - - -\n`, 'BAD_FORMAT', '2:21', /MTIME/],
    [`${root}/a 0 100644 1 0 0 0 9007199254740992.0 - - -\n`, 'BAD_FORMAT', '2:21', /MTIME/],
    [`${root}/a 9 100644 1 0 0 0 0.0 - x -\n`, 'BAD_FORMAT', '2:27', /1 bytes; SIZE says 9/],
    [`${root}/a 5001 100644 1 0 0 0 0.0 - ${'x'.repeat(5001)} -\n`, 'LIMIT', '2:30', /more than 5000/],
    [`${root}/a 9007199254740993 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:4', /SIZE/],
    [`${root}/a 9 100644 1 0 0 0 0.0 - - ${digest.slice(1)}\n`, 'BAD_FORMAT', '2:29', /DIGEST/],
    [`${root}/a 9 100644 1 0 0 0 0.0 - - ${digest.toUpperCase()}\n`, 'BAD_FORMAT', '2:29', /DIGEST/],
    [`${root}/a 9 100644 1 0 0 0 0.0 ../b - ${digest}\n`, 'BAD_FORMAT', '2:25', /a relative path/],
    [`${root}/a 9 100644 1 0 0 0 0.0 /b - ${digest}\n`, 'BAD_FORMAT', '2:25', /a relative path/],
    [`${root}/a 9 120777 1 0 0 0 0.0 b - -\n`, 'BAD_FORMAT', '2:4', /the symlink's target has 1/],
    [`${root}/a 0 120777 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:25', /a symlink target of 1/],
    [`${root}/a 0 40755 1 0 0 0 0.0 b - -\n`, 'BAD_FORMAT', '2:24', /expected "-"/],
    [`${root}/a 9 10644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:4', /expected 0 for what has no content/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - -\n`, 'BAD_FORMAT', '2:28', /10 fields; expected 11/],
    [`${root}/a  0 100644 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:4', /no SIZE/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - \n`, 'BAD_FORMAT', '2:31', /KEY=VALUE/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - a=1  b=1\n`, 'BAD_FORMAT', '2:35', /KEY=VALUE/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - =1\n`, 'BAD_FORMAT', '2:31', /an xattr name/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - ${'x'.repeat(256)}=1\n`, 'BAD_FORMAT', '2:31', /an xattr name/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - a=1 b=\\x\n`, 'BAD_FORMAT', '2:37', /expected \\\\/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - x=${'y'.repeat(32748)}\n`, 'LIMIT', '2:31', /32768 bytes of xattrs/],
    [`${root}/a 0 100644 1 0 0 0 0.0 - - - x=${'\\x79'.repeat(16384)}\n`, 'LIMIT', '2:31', /more than 65535/],
    [`${root}//a 0 40755 1 0 0 0 0.0 - - -\n`, 'BAD_FORMAT', '2:1', /doubled slash/],
    [`${root}/a 0 @100644 - - - - - /a - -\n`, 'BAD_FORMAT', '2:1', /leads to itself/],
    [`${root}/a 0 @100644 - - - - - /b - -\n/b 0 @100644 - - - - - /a - -\n`, 'BAD_FORMAT', '2:1', /leads to itself/],
    [`${root}/a 0 @100644 - - - - - /nope - -\n`, 'BAD_FORMAT', '2:1', /"\/nope" is no file/],
    [`${root}/a 0 @100644 - - - - - / - -\n`, 'BAD_FORMAT', '2:1', /"\/" is no file/],
    [`${root}/a 0 @100644 - - - - - - - -\n`, 'BAD_FORMAT', '2:24', /path of the target/],
    [`${root}/a 0 @40755 - - - - - /b - -\n`, 'BAD_FORMAT', '2:6', /a directory cannot/],
  ]
  for (const [text, code, at, message] of refused)
    test(`refuses ${JSON.stringify(text.replace(root, '').slice(0, 90))}`, () => {
      const [line, column] = at.split(':')
      assert.throws(
        () => parse(text),
        (error) => {
          assert.ok(error instanceof OnefoldError)
          assert.match(error.message, message)
          assert.ok(error.message.startsWith(`Cannot read dump, line ${line}, column ${column}: `), error.message)
          return error.code === code
        },
      )
    })

  test('bounds the depth', () => {
    const reader = new DumpReader()
    reader.write(Buffer.from(root))
    for (let depth = 1; depth <= 4096; depth++)
      reader.write(Buffer.from(`${'/d'.repeat(depth)} 0 40755 1 0 0 0 0.0 - - -\n`))
    const deeper = Buffer.from(`${'/d'.repeat(4097)} 0 40755 1 0 0 0 0.0 - - -\n`)
    assert.throws(
      () => reader.write(deeper),
      (error) => hasCode(error, 'LIMIT'),
    )
  })
})

describe('DumpReader', () => {
  test('reads the same tree whatever the chunks', () => {
    fc.assert(
      fc.property(randomTree(), fc.integer({ min: 40, max: 600 }), (tree, size) => {
        const bytes = dump(tree)
        const reader = new DumpReader()
        for (let at = 0; at < bytes.length; at += size) reader.write(bytes.subarray(at, at + size))
        assert.deepEqual(outline(unflatten(reader.end().tree)), outline(tree))
      }),
      { numRuns: 25 },
    )
  })

  test('does not keep a line without an end for ever', () => {
    const reader = new DumpReader()
    const chunk = Buffer.alloc(1 << 20, 'x')
    assert.throws(
      () => {
        for (let i = 0; i < 4; i++) reader.write(chunk)
      },
      { code: 'BAD_FORMAT', message: /line 1, column 1: a line of more than/ },
    )
  })
})

describe('parseDump, compat', () => {
  const taken: [line: string, want: Partial<Inode>][] = [
    ['/a -1 10644 -1 -1 -1 0 0.0 - - -', { nlink: 0xffffffff, uid: 0xffffffff, gid: 0xffffffff }],
    ['/a 0 100644 1 4294967297 \t+5 0 0.0 - - -', { uid: 1, gid: 5 }],
    ['/a 0 100644 1 99999999999999999999999 0 0 0.0 - - -', { uid: 0xffffffff }],
    ['//a 0 100644 1 0 0 7 0.5000000000 - - -', { rdev: 0, mtimeNsec: 705_032_704 }],
    ['/a 5 120777 1 0 0 0 0.0 target', { target: 'target' }],
    ['/a\\x00b 0 100644 1 0 0 0 0.0 - - -', { mode: 0o100644 }],
    [
      `/a 9 100644 1 0 0 0 0.0 /b - ${digest.toUpperCase()}`,
      { content: { kind: 'object', size: 9, digest, path: '/b' } as never },
    ],
    ['/a 4294967296 20644 1 0 0 7 0.0 - - -', { content: { kind: 'unknown', size: 2 ** 32 } }],
  ]
  for (const [line, want] of taken)
    test(`takes ${JSON.stringify(line)}`, () => {
      assert.throws(() => parse(`${root}${line}\n`), { code: 'BAD_FORMAT' })
      const inode = childOf(parse(root + line, { compat: true }), 'a')
      assert.deepEqual(Object.fromEntries(Object.keys(want).map((key) => [key, inode[key as keyof Inode]])), want)
    })

  const never = [
    `/a 9 100644 1 0 0 0 0.0 b - ${digest.slice(2)}`,
    '/a 9 100644 1 0 0 0 0.0 b',
    '/a 9 100644 1 5 x 0 0.0 - - -',
    '/a 9 20644 1 5 0 x 0.0 - - -',
    '/a 9 20644 1 5 0 0x7 0.0 - - -',
  ]
  for (const line of never)
    test(`still refuses ${JSON.stringify(line)}`, () => {
      assert.throws(() => parse(`${root}${line}\n`, { compat: true }), { code: 'BAD_FORMAT' })
    })

  const folder = vectors('composefs')
  for (const file of folder === undefined ? [] : readdirSync(folder).filter((name) => name.startsWith('should-fail')))
    for (const compat of [false, true])
      test(`${file}, compat ${compat}`, () => {
        const bytes = readFileSync(`${folder}/${file}`)
        assert.throws(() => composeImage(parseDump(bytes, { compat })), { name: 'OnefoldError' })
      })
})

test('dumps of random damage are read or refused', () => fuzzDump(1, 100))

test('mutated dumps are read or refused', () => fuzzMutatedDumps(1, 1000))

function parse(text: string, options: DumpOptions = {}): ReturnType<typeof parseDump> {
  return parseDump(Buffer.from(text, 'latin1'), options)
}

function childOf(tree: ReturnType<typeof parseDump>, name: string): Inode {
  const child = tree.children.get(name)
  assert.ok(child)
  return inodeOf(child)
}

function dump(tree: ReturnType<typeof parseDump>): Buffer {
  return Buffer.concat([...writeDump(tree)])
}
