import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { outline, randomTree } from '../../../test/fixtures/random-tree.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import type { VerityDigest } from '../../digest.ts'
import { hasCode, type Code } from '../../error.ts'
import { composeImage } from '../../image/stream-image.ts'
import { type Directory, type Inode, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, emptyDirectory } from '../tree.ts'
import { parseDump } from '../dump/read-dump.ts'
import { noContent, noXattrs } from '../entry.ts'
import { composefsHeader } from './composefs-header.ts'
import { chunkBitsOf } from './image-layout.ts'
import { compact, dirent, extended, superblock, xattrBody, xattrEntry } from '../erofs/erofs-records.ts'
import type { ErofsOptions } from './plan-image.ts'
import { writeErofs } from './write-image.ts'

test('records have the sizes of the kernel', () => {
  const sizes = [composefsHeader, superblock, compact, extended, dirent, xattrBody, xattrEntry].map(
    ({ bytes }) => bytes,
  )
  assert.deepEqual(sizes, [32, 128, 32, 64, 12, 12, 4])
})

describe('bytes of mkcomposefs', () => {
  const folder = vectors('composefs')
  for (const file of folder === undefined ? [] : dumpsOf(folder))
    test(file, () => {
      const bytes = readFileSync(`${folder}/${file}`)
      const dump = file.endsWith('.gz') ? gunzipSync(bytes) : bytes
      const image = writeErofs(parseDump(dump, { compat: true }), versionOf(`${folder}/${file}.version`))
      assert.equal(hash('sha256', image.bytes), readFileSync(`${folder}/${file}.sha256`, 'latin1').trim())
    })

  test('one tree', { skip: withoutVectors('one-tree/composefs') }, () => {
    const one = vectors('one-tree/composefs')
    const tree = parseDump(readFileSync(`${one}/dump`))
    for (const version of [0, 1] as const) {
      const image = writeErofs(tree, { minVersion: version, maxVersion: version })
      assert.ok(readFileSync(`${one}/v${version}.cfs`).equals(image.bytes), `version ${version}`)
    }
    assert.equal(composeImage(tree).digest, readFileSync(`${one}/default.digest`, 'latin1').trim())
  })
})

describe('frozen digests', () => {
  const frozen: [name: string, tree: Directory, options: ErofsOptions, bytes: number, digest: string][] = [
    ['empty, version 0', tree(), {}, 16_384, '8f589e8f57ecb88823736b0d857ddca1e1068a23e264fad164b28f7038eb3682'],
    [
      'empty, version 1',
      tree(),
      { minVersion: 1 },
      16_384,
      '14a26c957c84f6eb774b91205476adc13196c7c33b9dd97d08d43725ecb90b63',
    ],
    ['one of everything', everything(), {}, 24_576, '2ee13e0b9b2c1993a0fd6b33bc711e34cf43ca2ec1374d409b7cbf3d3ba77c89'],
    [
      'a whiteout raises the version',
      whiteout(),
      {},
      16_384,
      '034f23d3eaa5136dfc91650f9972ca8fe4aedd5d7c3e2e10dbd4ef503b45b7d0',
    ],
    [
      'a whiteout held at version 0',
      whiteout(),
      { maxVersion: 0 },
      16_384,
      '6c5ce5f112fdf20f35ddacad6bff3f34d85653e75c1f52c7469bd5cc7c14f297',
    ],
    [
      'directories of several blocks',
      wide(),
      {},
      217_088,
      '417e36d7d3aa2fce4dc1b548777800fccaa75882352b0618f3bd832aff0f9615',
    ],
    [
      'attributes beyond 128 references',
      crowded(),
      {},
      28_672,
      'e95ad3e22f26a52e3092eed33b9a77156fcc4fd51b356f98e7d71f6ce00f6935',
    ],
  ]
  for (const [name, root, options, bytes, digest] of frozen)
    test(name, () => {
      const image = composeImage(root, options)
      assert.deepEqual([image.bytes.length, image.digest], [bytes, digest])
    })
})

describe('writeErofs', () => {
  test('takes the lowest version that can hold the tree', () => {
    const choices: [ErofsOptions, tree: Directory, version: number][] = [
      [{}, tree(), 0],
      [{}, whiteout(), 1],
      [{ maxVersion: 0 }, whiteout(), 0],
      [{ minVersion: 1 }, tree(), 1],
      [{ minVersion: 1, maxVersion: 0 }, tree(), 1],
      [{ minVersion: 0, maxVersion: 0 }, tree(), 0],
    ]
    for (const [options, root, version] of choices) {
      const image = writeErofs(root, options)
      assert.equal(image.version, version)
      assert.equal(new DataView(image.bytes.buffer).getUint32(composefsHeader.version, true), version)
    }
  })

  test('leaves the tree as it is, in both versions', () => {
    fc.assert(
      fc.property(randomTree({ ambiguous: true, foreignPaths: true }), (root) => {
        const before = outline(root)
        writeErofs(root)
        writeErofs(root, { minVersion: 1 })
        assert.deepEqual(outline(root), before)
      }),
      { numRuns: 50 },
    )
  })

  test('gives the same bytes whatever the order of children and xattrs', () => {
    fc.assert(
      fc.property(randomTree({ foreignPaths: true }), (root) => {
        const before = writeErofs(root).bytes
        reverse(root)
        assert.ok(Buffer.from(before).equals(writeErofs(root).bytes))
      }),
      { numRuns: 50 },
    )
  })

  const refused: [what: string, root: Directory, code: Code][] = [
    ['a name with a slash', tree({ 'a/b': file() }), 'BAD_FORMAT'],
    ['an empty name', tree({ '': file() }), 'BAD_FORMAT'],
    ['a name "."', tree({ '.': file() }), 'BAD_FORMAT'],
    ['a name ".."', tree({ '..': file() }), 'BAD_FORMAT'],
    ['a name of 256 bytes', tree({ ['x'.repeat(256)]: file() }), 'BAD_FORMAT'],
    ['a name with a zero byte', tree({ 'a\0': file() }), 'BAD_FORMAT'],
    ['a name that is no bytes', tree({ '\u{263a}': file() }), 'BAD_FORMAT'],
    ['an empty symlink', tree({ a: inode(S_IFLNK | 0o777) }), 'BAD_FORMAT'],
    ['a symlink of 4096 bytes', tree({ a: inode(S_IFLNK | 0o777, { target: 'x'.repeat(4096) }) }), 'BAD_FORMAT'],
    ['no file type', tree({ a: inode(0o644) }), 'BAD_FORMAT'],
    ['a directory without children', tree({ a: inode(S_IFDIR | 0o755) }), 'BAD_FORMAT'],
    ['a link out of the tree', tree({ a: { linkTo: file() } }), 'BAD_FORMAT'],
    ['5001 bytes inline', tree({ a: file({ content: { kind: 'inline', bytes: new Uint8Array(5001) } }) }), 'LIMIT'],
    ['a file beyond 2^53', tree({ a: file({ content: { kind: 'unknown', size: 2 ** 53 + 2 } }) }), 'LIMIT'],
    [
      'an xattr value of 65536 bytes',
      tree({ a: file({ xattrs: new Map([['user.a', new Uint8Array(65536)]]) }) }),
      'LIMIT',
    ],
    [
      'an xattr name beyond 255',
      tree({ a: file({ xattrs: new Map([[`user.${'x'.repeat(256)}`, new Uint8Array()]]) }) }),
      'LIMIT',
    ],
    ['xattrs beyond the counter', tree({ a: file({ xattrs: hugeXattrs() }) }), 'LIMIT'],
  ]
  for (const [what, root, code] of refused)
    test(`refuses ${what}`, () =>
      assert.throws(
        () => writeErofs(root),
        (error) => hasCode(error, code),
      ))

  test('gives files the chunk size that mkcomposefs chooses', () => {
    const sizes = [1, 4096, 4097, 2 ** 32, 2 ** 32 + 1, 2 ** 43, 2 ** 43 + 1, 2 ** 53]
    assert.deepEqual(sizes.map(chunkBitsOf), [12, 12, 13, 32, 33, 43, 43, 43])
  })
})

function dumpsOf(folder: string): string[] {
  return readdirSync(folder).filter((file) => /\.dump(?:\.gz)?$/.test(file) && !file.startsWith('should-fail'))
}

function versionOf(file: string): ErofsOptions {
  try {
    const version = readFileSync(file, 'latin1').trim() === '1' ? 1 : 0
    return { minVersion: version, maxVersion: version }
  } catch {
    return {}
  }
}

function inode(mode: number, rest: Partial<Inode> = {}): Inode {
  const plain = { uid: 0, gid: 0, mtime: 0, mtimeNsec: 0, rdev: 0, nlink: 1, target: '', children: undefined }
  return { mode, ...plain, xattrs: noXattrs, content: noContent, ...rest }
}

function file(rest: Partial<Inode> = {}): Inode {
  return inode(S_IFREG | 0o644, rest)
}

function tree(children: Record<string, Inode | { linkTo: Inode }> = {}): Directory {
  return { ...emptyDirectory(), children: new Map(Object.entries(children)) }
}

function everything(): Directory {
  const digest = '0123456789abcdef'.repeat(4) as VerityDigest
  const object = file({
    mtime: 1_700_000_000,
    mtimeNsec: 5,
    nlink: 2,
    content: { kind: 'object', digest, size: 123_456 },
  })
  const label = Buffer.from('system_u:object_r:etc_t:s0\0')
  return tree({
    dev: tree({
      null: inode(S_IFCHR | 0o666, { rdev: 0x103, mtime: -1 }),
      fifo: inode(S_IFIFO | 0o600, { gid: 70_000 }),
    }),
    etc: tree({
      '-': file({ content: { kind: 'inline', bytes: Buffer.from('dash\n') } }),
      big: object,
      copy: file({ content: { kind: 'object', digest, size: 123_456 } }),
      large: file({ content: { kind: 'unknown', size: 2 ** 44, path: 'later/1' } }),
      link: inode(S_IFLNK | 0o777, { target: '../dev/null', xattrs: new Map([['security.selinux', label]]) }),
      same: { linkTo: object },
      tagged: file({
        xattrs: new Map([
          ['trusted.overlay.opaque', Buffer.from('y')],
          ['security.selinux', label],
          ['system.posix_acl_access', Buffer.alloc(4)],
        ]),
      }),
    }),
  })
}

function whiteout(): Directory {
  return tree({ a: tree({ gone: inode(S_IFCHR | 0o600, { xattrs: new Map([['user.a', Buffer.from('b')]]) }) }) })
}

function wide(): Directory {
  const children = Array.from({ length: 1000 }, (_, i): [string, Inode] => [`${i}-${'n'.repeat(i % 90)}`, file()])
  const targets = Array.from({ length: 40 }, (_, i): [string, Inode] => [
    `l${i}`,
    inode(S_IFLNK | 0o777, { target: 't'.repeat(100 * i + 95) }),
  ])
  return tree({ ...Object.fromEntries(children), links: tree(Object.fromEntries(targets)) })
}

function crowded(): Directory {
  const xattrs = new Map(Array.from({ length: 140 }, (_, i) => [`user.${i}`, Buffer.alloc(i, 'v')]))
  return tree({ a: file({ xattrs }), b: file({ xattrs: new Map(xattrs) }), c: tree() })
}

function hugeXattrs(): Map<string, Uint8Array> {
  return new Map(Array.from({ length: 5 }, (_, i) => [`user.${i}`, new Uint8Array(60_000)]))
}

function reverse(directory: Directory): void {
  directory.children = new Map([...directory.children].reverse())
  for (const child of directory.children.values())
    if (!('linkTo' in child)) {
      if (child.xattrs !== noXattrs) child.xattrs = new Map([...child.xattrs].reverse())
      if (child.children !== undefined) reverse(child as Directory)
    }
}
