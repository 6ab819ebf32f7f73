import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { needsRoot } from '../../test/fixtures/needs.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { sizeOf } from '../formats/entry.ts'
import { composeImage } from '../image/stream-image.ts'
import { lookup } from '../formats/lookup.ts'
import { type Directory, type Inode, inodeOf, isDirectory, isHardLink } from '../formats/tree.ts'
import { mknod } from '../../test/fixtures/file-calls.ts'
import { setMtime } from '../linux/file.ts'
import { setXattr } from '../linux/xattr.ts'
import { type ScannedFile, scannedIdentity, measureFiles } from './measure-files.ts'
import { scanDirectory } from './scan-directory.ts'

function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + (i >> 8)) & 0xff
  return bytes
}

const sizes = [0, 1, 64, 65, 4096, 4097, 1 << 20, (1 << 20) + 1]

/** Files of all sizes that matter, linked, nested, named in bytes. */
function makeTree(root: string): void {
  mkdirSync(join(root, 'sub/deep'), { recursive: true })
  for (const size of sizes) writeFileSync(join(root, `sub/${size}`), pattern(size))
  writeFileSync(Buffer.concat([Buffer.from(`${root}/n `), Buffer.of(0xff)]), 'odd')
  symlinkSync('../sub\u00e9', join(root, 'sub/deep/link'))
  linkSync(join(root, 'sub/65'), join(root, 'again'))
  linkSync(join(root, 'sub/65'), join(root, 'sub/deep/again'))
}

/** Every name of the tree with its inode; '@' behind further names of one. */
function listed(directory: Directory, path = ''): [string, Inode][] {
  return [...directory.children].flatMap(([name, child]): [string, Inode][] => {
    const own: [string, Inode] = [`${path}/${name}${isHardLink(child) ? '@' : ''}`, inodeOf(child)]
    return !isHardLink(child) && isDirectory(child) ? [own, ...listed(child, `${path}/${name}`)] : [own]
  })
}

/** The owner is who runs the test. */
function disown(root: Directory): Directory {
  for (const inode of [root, ...listed(root).map(([, each]) => each)]) inode.uid = inode.gid = 0
  return root
}

describe('scanDirectory', () => {
  test('finds names, sizes, digests, targets and hard links', async () => {
    using folder = scratch('scan')
    makeTree(folder.path)
    const root = await scanDirectory(folder.path)
    assert.deepEqual(
      listed(root).map(([path, { content, target, nlink }]) => [path, sizeOf(content), content.kind, target, nlink]),
      [
        ['/again', 65, 'object', '', 3],
        ['/n \xff', 3, 'inline', '', 1],
        ['/sub', 0, 'empty', '', 3],
        ['/sub/0', 0, 'empty', '', 1],
        ['/sub/1', 1, 'inline', '', 1],
        ['/sub/1048576', 1048576, 'object', '', 1],
        ['/sub/1048577', 1048577, 'object', '', 1],
        ['/sub/4096', 4096, 'object', '', 1],
        ['/sub/4097', 4097, 'object', '', 1],
        ['/sub/64', 64, 'inline', '', 1],
        ['/sub/65@', 65, 'object', '', 3],
        ['/sub/deep', 0, 'empty', '', 2],
        ['/sub/deep/again@', 65, 'object', '', 3],
        ['/sub/deep/link', 0, 'empty', '../sub\xc3\xa9', 1],
      ],
    )
    for (const [path, { content }] of listed(root).filter(([path]) => path.startsWith('/sub/1')))
      if (content.kind === 'object') assert.equal(content.digest, verityDigest(pattern(content.size)), path)
      else assert.deepEqual(content, { kind: 'inline', bytes: new Uint8Array(1) })
  })

  test('without hard links every name is a file with one link, as composefs scans', async () => {
    using folder = scratch('scan')
    makeTree(folder.path)
    const files = listed(await scanDirectory(folder.path, { hardLinks: false }))
    const again = files.filter(([path]) => /again|65$/.test(path))
    assert.deepEqual(
      again.map(([path, { nlink }]) => [path, nlink]),
      [
        ['/again', 1],
        ['/sub/65', 1],
        ['/sub/deep/again', 1],
      ],
    )
  })

  test('gives the same image whatever the threads', async () => {
    using folder = scratch('scan')
    makeTree(folder.path)
    for (let i = 0; i < 700; i++) writeFileSync(folder.at(`sub/deep/${i}`), pattern(60 + i))
    const [one, three] = await Promise.all([1, 3].map((threads) => scanDirectory(folder.path, { threads })))
    assert.ok(one !== undefined && three !== undefined)
    assert.equal(composeImage(three).digest, composeImage(one).digest)
  })

  test('times, before 1970 too, or none', async () => {
    using folder = scratch('scan')
    writeFileSync(folder.at('a'), '')
    setMtime(folder.at('a'), -2, 500_000_000)
    setMtime(folder.path, 1, 250_000_000)
    const root = await scanDirectory(folder.path)
    assert.deepEqual([root.mtime, root.mtimeNsec], [1, 250_000_000])
    const file = lookup(root, '/a')?.inode
    assert.deepEqual([file?.mtime, file?.mtimeNsec], [-2, 500_000_000])
    const without = await scanDirectory(folder.path, { epoch: true })
    for (const inode of [without, lookup(without, '/a')?.inode])
      assert.deepEqual([inode?.mtime, inode?.mtimeNsec], [0, 0])
  })

  test("gives the image that composefs' own tool makes", async () => {
    using folder = scratch('scan')
    makeTree(folder.path)
    for (const path of ['', 'sub', 'sub/deep']) chmodSync(folder.at(path), 0o755)
    for (const size of sizes) chmodSync(folder.at(`sub/${size}`), 0o640)
    chmodSync(Buffer.concat([Buffer.from(folder.at('n ')), Buffer.of(0xff)]), 0o600)
    const scan = (hardLinks: boolean): Promise<Directory> =>
      scanDirectory(folder.path, { hardLinks, epoch: true, xattrs: 'user' })
    const digests = [composeImage(disown(await scan(false))).digest, composeImage(disown(await scan(true))).digest]
    assert.deepEqual(digests, [
      'e9ffb942a0c6cc5218b1753d3d77c8ff5aa5bb676dc98d8fcac7ee7c3e6a2b0f',
      'e5333a798cb86de64d8972c94cab1924b51f52a2668da3dae734639f4f7d8ba7',
    ])
  })

  test('what is no directory, or not there, is refused', async () => {
    using folder = scratch('scan')
    writeFileSync(folder.at('file'), '')
    symlinkSync('.', folder.at('link'))
    for (const [name, code, reason] of [
      ['nothing', 'NOT_FOUND', 'there is no such file'],
      ['file', 'NOT_FOUND', 'not a directory (ENOTDIR)'],
      ['link', 'NOT_FOUND', 'not a directory (ENOTDIR)'],
    ] as const)
      await assert.rejects(scanDirectory(folder.at(name)), {
        code,
        message: `Cannot read "${folder.at(name)}": ${reason}`,
      })
  })

  test('devices, pipes and extended attributes, all or some', { skip: needsRoot }, async () => {
    using folder = scratch('scan')
    mknod(folder.at('disk'), 0o60640, 271581951)
    mknod(folder.at('pipe'), 0o10640, 0)
    mknod(folder.at('null'), 0o20640, 0x103)
    setXattr(folder.at('pipe'), 'trusted.x', Buffer.from('1'))
    setXattr(folder.path, 'user.b', Buffer.from('2'))
    setXattr(folder.path, 'trusted.a', new Uint8Array())
    const all = await scanDirectory(folder.path)
    assert.deepEqual(
      listed(all).map(([path, { mode, rdev }]) => [path, mode.toString(8), rdev]),
      [
        ['/disk', '60640', 271581951],
        ['/null', '20640', 0x103],
        ['/pipe', '10640', 0],
      ],
    )
    assert.deepEqual([...all.xattrs.keys()], ['trusted.a', 'user.b'])
    assert.deepEqual([...(lookup(all, '/pipe')?.inode.xattrs.keys() ?? [])], ['trusted.x'])
    const some = await scanDirectory(folder.path, { skipDevices: true, xattrs: 'user' })
    assert.deepEqual([...some.children.keys()], ['pipe'])
    assert.deepEqual([...some.xattrs.keys()], ['user.b'])
    assert.equal((await scanDirectory(folder.path, { xattrs: 'none' })).xattrs.size, 0)
  })
})

describe('a directory of objects', () => {
  test('gets every file of more than 64 bytes once, and keeps what is whole', async () => {
    using folder = scratch('scan')
    mkdirSync(folder.at('tree'))
    makeTree(folder.at('tree'))
    const objects = folder.at('new/objects/')
    const root = await scanDirectory(folder.at('tree'), { objects })
    const digests = new Set(
      listed(root).flatMap(([, { content }]) => (content.kind === 'object' ? [content.digest] : [])),
    )
    const paths = [...digests].map((digest) => `${digest.slice(0, 2)}/${digest.slice(2)}`)
    assert.deepEqual(files(objects), paths.sort())
    for (const [i, digest] of [...digests].sort().entries()) {
      const path = join(objects, paths[i] ?? '')
      assert.equal(verityDigest(readFileSync(path)), digest)
      assert.equal(lstatSync(path).mode, 0o100644)
    }
    await keepsWhatIsWhole(folder.at('tree'), objects, paths)
  })

  async function keepsWhatIsWhole(tree: string, objects: string, paths: readonly string[]): Promise<void> {
    const inodes = (): number[] => paths.map((path) => lstatSync(join(objects, path)).ino)
    const before = inodes()
    truncateSync(join(objects, paths[0] ?? ''), 0)
    await scanDirectory(tree, { objects })
    const after = inodes()
    assert.notEqual(after[0], before[0], 'what a crash left of an object is replaced')
    assert.deepEqual(after.slice(1), before.slice(1))
    assert.deepEqual(files(objects), paths)
  }

  test('is not filled with what changed meanwhile', () => {
    using folder = scratch('scan')
    const path = folder.at('file')
    const change: [what: string, act: () => void][] = [
      ['shrank', () => truncateSync(path, 50)],
      ['grew', () => writeFileSync(path, pattern(200), { flag: 'a' })],
      ['is the same size', () => writeFileSync(path, pattern(100).fill(7))],
    ]
    for (const [what, act] of change) {
      writeFileSync(path, pattern(100))
      const file: ScannedFile = { path, size: 100, identity: scannedIdentity(lstatSync(path, { bigint: true })) }
      const before = lstatSync(path, { bigint: true }).ctimeNs
      do act()
      while (lstatSync(path, { bigint: true }).ctimeNs === before)
      assert.throws(
        () => measureFiles({ files: [file], objects: folder.at('objects') }),
        { code: 'DIGEST_MISMATCH' },
        what,
      )
      assert.deepEqual(files(folder.at('objects')), [], what)
    }
  })
})

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.replace(/\/$/, '').length + 1))
    .sort()
}
