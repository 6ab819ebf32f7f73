import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { needsOpenCheckout, needsPrograms, needsRoot } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { digestOf } from '../../digest.ts'
import type { Entry } from '../../formats/entry.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { parseConfig } from '../../formats/oci/image-config.ts'
import { parseManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { TarParser } from '../../formats/tar/tar-parser.ts'
import { setMtime } from '../../linux/file.ts'
import { setXattr } from '../../linux/xattr.ts'
import { pathToBytes } from '../../paths.ts'
import { S_IFMT, S_IFSOCK, inodeOf } from '../../formats/tree.ts'
import { readTree } from '../../library/reading.ts'
import { openStore } from '../../store/store.ts'
import { pull } from '../../transfer/pull/pull.ts'
import { openSource } from '../open-source.ts'
import type { SourceOptions } from '../source-options.ts'
import type { Source } from '../source.ts'

async function layerOf(source: Source): Promise<Descriptor> {
  const manifest = parseManifest((await source.resolve()).bytes)
  assert.equal(manifest.kind, 'manifest')
  const [layer, ...others] = manifest.kind === 'manifest' ? manifest.layers : []
  assert.ok(layer !== undefined && others.length === 0)
  return layer
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}

async function tarOfTree(path: string, options: SourceOptions = {}): Promise<Buffer> {
  await using source = await openSource(`rootfs:${path}`, options)
  const layer = await layerOf(source)
  const tar = await collect(source.blob(layer))
  assert.deepEqual([tar.length, digestOf(tar)], [layer.size, layer.digest])
  return tar
}

function entriesOf(tar: Buffer): Entry[] {
  const entries: Entry[] = []
  const parser = new TarParser({
    framing() {},
    entry: (entry) => void entries.push(entry),
    data() {},
    endEntry() {},
  })
  parser.write(tar)
  parser.end()
  return entries
}

/** A little of everything that a tree can hold, with times that are the same every time. */
function makeTree(root: string): void {
  mkdirSync(`${root}/d/e`, { recursive: true })
  writeFileSync(`${root}/a`, 'hello')
  writeFileSync(`${root}/empty`, '')
  writeFileSync(`${root}/d/large`, Buffer.alloc(2_500_000, 'ab'))
  writeFileSync(pathToBytes(`${root}/not-utf8-\xff`), 'x')
  writeFileSync(`${root}/.wh.data`, '')
  linkSync(`${root}/a`, `${root}/d/e/link`)
  symlinkSync('../nowhere', `${root}/d/symlink`)
  linkSync(`${root}/d/symlink`, `${root}/z-symlink`)
  writeFileSync(`${root}/${'n'.repeat(250)}`, 'long')
  chmodSync(`${root}/a`, 0o4755)
  setXattr(`${root}/d`, 'user.directory', Buffer.from('d'))
  setXattr(root, 'user.top', Buffer.from('t'))
  setXattr(`${root}/a`, 'user.b', Buffer.from([0, 255, 10]))
  setXattr(`${root}/a`, 'user.a', Buffer.alloc(0))
  for (const name of [
    'd/symlink',
    `${'n'.repeat(250)}`,
    'not-utf8-\xff',
    '.wh.data',
    'd/large',
    'empty',
    'd/e',
    'd',
    '',
  ])
    lutimesSync(pathToBytes(`${root}/${name}`), 1_000_000_000, 1_000_000_000)
  setMtime(`${root}/a`, -5, 250_000_001)
}

test('a directory becomes one layer, the same one every time', async () => {
  using folder = scratch('rootfs')
  makeTree(folder.path)
  await using source = await openSource(`rootfs:${folder.path}`, { platform: { os: 'linux', architecture: 'arm64' } })
  assert.deepEqual([source.kind, source.name], ['plain', `rootfs:${folder.path}`])
  const layer = await layerOf(source)
  assert.equal(layer.mediaType, mediaTypes.layer)
  assert.equal(await source.blobFile?.(layer), undefined)
  const tar = await collect(source.blob(layer))
  assert.deepEqual(await collect(source.blob(layer, { offset: 1_234_567 })), tar.subarray(1_234_567))
  assert.deepEqual(await collect(source.blob(layer, { offset: 1_234, end: 9_876 })), tar.subarray(1_234, 9_876))
  assert.deepEqual(await tarOfTree(`${folder.path}//`), tar)

  const manifest = parseManifest((await source.resolve()).bytes)
  assert.ok(manifest.kind === 'manifest')
  const config = parseConfig(await source.fetch(manifest.config), 1)
  assert.deepEqual(config.platform, { os: 'linux', architecture: 'arm64' })
  assert.deepEqual(config.diffIds, [digestOf(tar)])
})

test('every name is there, parents first, siblings in byte order, hard links to the first name', async () => {
  using folder = scratch('rootfs')
  makeTree(folder.path)
  const entries = entriesOf(await tarOfTree(folder.path))
  assert.deepEqual(
    entries.map(({ path, type, link }) => [path, type, link]),
    [
      ['', 'directory', ''],
      ['.wh.data', 'file', ''],
      ['a', 'file', ''],
      ['d', 'directory', ''],
      ['d/e', 'directory', ''],
      ['d/e/link', 'hardlink', 'a'],
      ['d/large', 'file', ''],
      ['d/symlink', 'symlink', '../nowhere'],
      ['empty', 'file', ''],
      ['n'.repeat(250), 'file', ''],
      ['not-utf8-\xff', 'file', ''],
      ['z-symlink', 'hardlink', 'd/symlink'],
    ],
  )
  const { mode, mtime, mtimeNsec, xattrs } = entries[2]!
  assert.deepEqual([mode, mtime, mtimeNsec], [0o4755, -5, 250_000_001])
  assert.deepEqual(
    [...xattrs].map(([name, value]) => [name, Buffer.from(value).toString('hex')]),
    [
      ['user.a', ''],
      ['user.b', '00ff0a'],
    ],
  )
  const namesAt = (i: number): string[] => [...entries[i]!.xattrs.keys()].filter((name) => name.startsWith('user.'))
  assert.deepEqual([namesAt(0), namesAt(3), namesAt(4)], [['user.top'], ['user.directory'], []])
})

test(
  'what tar unpacks from it gives the same layer again',
  { skip: needsRoot || needsPrograms('tar', 'mknod') },
  async () => {
    using folder = scratch('rootfs')
    mkdirSync(folder.at('tree'))
    makeTree(folder.at('tree'))
    execFileSync('mknod', [folder.at('tree', 'null'), 'c', '1', '3'])
    execFileSync('mknod', [folder.at('tree', 'block'), 'b', '259', '1048575'])
    execFileSync('mkfifo', [folder.at('tree', 'fifo')])
    execFileSync('chown', ['1234:3000000', folder.at('tree', 'empty')])
    // GNU tar does not read the record that an empty attribute needs.
    execFileSync('setfattr', ['-x', 'user.a', folder.at('tree', 'a')])
    const tar = await tarOfTree(folder.at('tree'))
    mkdirSync(folder.at('copy'))
    execFileSync('tar', ['xp', '--xattrs', '--xattrs-include=*', '-C', folder.at('copy')], {
      input: tar,
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    assert.equal(digestOf(await tarOfTree(folder.at('copy'))), digestOf(tar))
  },
)

test('sockets are kept', async () => {
  using folder = scratch('rootfs')
  mkdirSync(folder.at('tree'))
  const server = createServer().listen(folder.at('tree', 's'))
  await new Promise((resolve) => server.once('listening', resolve))
  server.unref()
  const warnings: string[] = []
  await using store = await openStore(folder.at('store'))
  await using source = await openSource(`rootfs:${folder.at('tree')}`, {
    onWarning: (message) => warnings.push(message),
  })
  await pull(store, source, { name: 'tree' })
  server.close()
  const tree = await readTree(store, 'tree')
  assert.equal(inodeOf(tree.children.get('s')!).mode & S_IFMT, S_IFSOCK)
  assert.deepEqual(warnings, [])
})

describe('what a tree should not hold is left out, and said', () => {
  test('what is mounted inside', { skip: needsRoot || needsPrograms('mount', 'umount') }, async () => {
    using folder = scratch('rootfs')
    mkdirSync(folder.at('m'))
    execFileSync('mount', ['-t', 'tmpfs', 'none', folder.at('m')])
    try {
      writeFileSync(folder.at('m', 'hidden'), '')
      const warnings: string[] = []
      const entries = entriesOf(await tarOfTree(folder.path, { onWarning: (message) => warnings.push(message) }))
      assert.deepEqual(
        entries.map(({ path }) => path),
        ['', 'm'],
      )
      assert.deepEqual(warnings, [`"${folder.at('m')}": another file system is mounted here; it is left out`])
      assert.deepEqual(
        entriesOf(await tarOfTree(folder.at('m'))).map(({ path }) => path),
        ['', 'hidden'],
      )
    } finally {
      execFileSync('umount', [folder.at('m')])
    }
  })

  test('directories that the caller names, by whatever path', async () => {
    using folder = scratch('rootfs')
    mkdirSync(folder.at('tree/store'), { recursive: true })
    writeFileSync(folder.at('tree/store/object'), '')
    symlinkSync(folder.at('tree'), folder.at('other'))
    const omit = [folder.at('other/store'), folder.at('nowhere')]
    assert.deepEqual(
      entriesOf(await tarOfTree(folder.at('tree'), { omit })).map(({ path }) => path),
      ['', 'store'],
    )
  })
})

describe('a tree that changes while it is read is refused, with the name of what changed', () => {
  const changes: [name: string, change: (root: string) => void, path: string][] = [
    ['a file that is written to', (root) => appendFileSync(`${root}/d/large`, 'x'), 'd/large'],
    ['a file that is rewritten in its old length and time', (root) => rewrite(`${root}/a`), 'a'],
    ['a file that is cut', (root) => truncateSync(`${root}/d/large`, 10), 'd/large'],
    ['a new name', (root) => writeFileSync(`${root}/new`, ''), ''],
    ['a name that is gone', (root) => rmSync(`${root}/d/symlink`), 'd'],
    ['a new mode', (root) => chmodSync(`${root}/empty`, 0o600), 'empty'],
    [
      'a directory that became another',
      (root) => (renameSync(`${root}/d/e`, `${root}/d/f`), mkdirSync(`${root}/d/e`)),
      'd',
    ],
  ]
  for (const [name, change, path] of changes)
    test(name, async () => {
      using folder = scratch('rootfs')
      makeTree(folder.path)
      await using source = await openSource(`rootfs:${folder.path}`)
      const layer = await layerOf(source)
      change(folder.path)
      await assert.rejects(collect(source.blob(layer)), {
        code: 'DIGEST_MISMATCH',
        message: `Cannot read "${folder.path}${path === '' ? '' : `/${path}`}": it changed while the tree was being read`,
      })
    })
})

describe('a tree is refused', () => {
  test('that is not there, or no directory', async () => {
    using folder = scratch('rootfs')
    writeFileSync(folder.at('f'), '')
    await assert.rejects(openSource(`rootfs:${folder.at('x')}`), { code: 'NOT_FOUND' })
    await assert.rejects(openSource(`rootfs:${folder.at('f')}`), { code: 'BAD_FORMAT', message: /no directory/ })
  })

  test(
    'with a file that must not be read, naming it',
    { skip: needsRoot || needsOpenCheckout || needsPrograms('setpriv') },
    () => {
      using folder = scratch('rootfs')
      makeTree(folder.path)
      chmodSync(folder.path, 0o755)
      chmodSync(folder.at('d/large'), 0o600)
      const script = `
      import { openSource } from ${JSON.stringify(new URL('../open-source.ts', import.meta.url))}
      const source = await openSource(${JSON.stringify(`rootfs:${folder.path}`)})
      await source.resolve().catch((error) => console.log(error.code, error.message))`
      const node = [process.execPath, '--input-type=module', '--eval', script]
      const { stdout } = spawnSync('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', ...node])
      assert.equal(stdout.toString(), `DENIED Cannot read "${folder.at('d/large')}": permission denied\n`)
    },
  )
})

test('a tree as deep as a path can be', async () => {
  using folder = scratch('rootfs')
  const before = process.cwd()
  try {
    process.chdir(folder.path)
    for (let depth = 0; depth < 2000; depth++) {
      mkdirSync('d')
      process.chdir('d')
    }
  } finally {
    process.chdir(before)
  }
  const entries = entriesOf(await tarOfTree(folder.path))
  assert.equal(entries.length, 2001)
  assert.equal(entries.at(-1)?.path.length, 3999)
})

test('a symlink at the top is followed, symlinks inside never', async () => {
  using folder = scratch('rootfs')
  mkdirSync(folder.at('tree'))
  symlinkSync('/etc', folder.at('tree/etc'))
  symlinkSync('tree', folder.at('top'))
  const entries = entriesOf(await tarOfTree(folder.at('top')))
  assert.deepEqual(
    entries.map(({ path, type }) => [path, type]),
    [
      ['', 'directory'],
      ['etc', 'symlink'],
    ],
  )
})

test('an abort ends reading', async () => {
  using folder = scratch('rootfs')
  makeTree(folder.path)
  await using source = await openSource(`rootfs:${folder.path}`)
  const stop = new AbortController()
  const resolving = source.resolve({ signal: stop.signal })
  stop.abort()
  await assert.rejects(resolving, { name: 'AbortError' })
  assert.ok((await source.resolve()).bytes.length > 0)
})

function rewrite(path: string): void {
  writeFileSync(path, 'HELLO')
  utimesSync(path, 0, 0)
  setMtime(path, -5, 250_000_001)
}
