import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArtifact } from '../../src/formats/oci/manifest.ts'
import { treeToJson } from '../../src/image/tree-json.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { readTree as treeOf } from '../../src/library/reading.ts'
import { convertImage } from '../../src/transfer/convert/convert-image.ts'
import type { ConvertFormat } from '../../src/transfer/convert/convert-options.ts'
import { obtain } from '../../src/transfer/pull/obtain.ts'
import { directory, file, hardlink, makeImage, special, symlink, whiteout } from '../fixtures/images.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { readTree } from '../fixtures/overlayfs.ts'
import { noise } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'

const mtime = 1_700_000_000

function demoImage(): ReturnType<typeof makeImage> {
  return makeImage({
    layers: [
      [
        directory('', { mtime }),
        directory('etc', { mtime }),
        file('etc/motd', 'hello', { mtime, uid: 7 }),
        file('big', Buffer.concat([noise(300_000), Buffer.alloc(200_000, 'text. ')]), { mtime, mode: 0o4755 }),
        hardlink('same', 'big', { mtime }),
        file('gone', 'x', { mtime }),
        symlink('link', 'etc/motd', { mtime }),
        special('null', 'char', { major: 1, minor: 3, mtime }),
      ],
      [directory('etc', { mtime }), file('etc/new', noise(5000, 2), { mtime }), whiteout('gone')],
    ],
  })
}

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' })

async function pulledDigest(name: string, partial: 'always' | 'never'): Promise<readonly unknown[]> {
  using place = scratch('peers')
  await using store = await openStore(place.path)
  const { record } = await obtain(store, name, { partial })
  return [record.images.default, ...record.layers.map(({ proof }) => proof)]
}

suite('peers read what is written', { skip: needsPrograms('skopeo', 'umoci') || needsRoot }, () => {
  const folder = scratch('peers')
  const image = demoImage()
  let store: Store
  before(async () => {
    store = await openStore(folder.at('store'))
    await obtain(store, image.name)
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    image[Symbol.dispose]()
    folder[Symbol.dispose]()
  })

  for (const format of ['estargz', 'zstd-chunked', 'stargz-zstd', 'soci', 'tar+gzip', 'tar+zstd', 'tar'] as const)
    test(`skopeo decompresses ${format} to the tars it should hold`, async () => {
      const to = folder.at(`skopeo-${format}`)
      const options = format === 'soci' ? { minLayerSize: 0 } : {}
      const { images } = await convertImage(store, image.name, format, `oci:${to}:x`, options)
      run('skopeo', 'copy', '--quiet', '--dest-decompress', `oci:${to}:x`, `dir:${to}-plain`)
      const manifest = parseArtifact(readFileSync(`${to}-plain/manifest.json`))
      assert.ok(manifest.kind === 'manifest')
      const plain = manifest.layers.map(({ digest }) => `sha256:${hashOf(`${to}-plain/${digest.slice(7)}`)}`)
      assert.deepEqual(
        plain,
        images[0]?.layers.map(({ diffId }) => diffId),
      )
    })

  for (const format of ['estargz', 'tar+gzip', 'tar'] satisfies ConvertFormat[])
    test(`umoci unpacks ${format} to the tree it should be`, async () => {
      const to = folder.at(`umoci-${format}`)
      await convertImage(store, image.name, format, `oci:${to}:x`)
      run('umoci', 'raw', 'unpack', '--image', `${to}:x`, `${to}-rootfs`)
      const own = new Set(['stargz.index.json', '.no.prefetch.landmark'])
      const unpacked = readTree(`${to}-rootfs`)
      for (const name of own) assert.equal(unpacked.children.delete(name), format === 'estargz')
      const want = await treeOf(store, store.find(image.name))
      assert.deepEqual([...treeToJson(unpacked)], [...treeToJson(want)])
    })
})

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

suite('ctr-remote', { skip: needsPrograms('ctr-remote', 'containerd', 'skopeo') || needsRoot }, () => {
  const folder = scratch('peers')
  const image = demoImage()
  let daemon: ChildProcess
  const socket = folder.at('c.sock')
  const ctr = (...args: string[]): string => run('ctr-remote', '--address', socket, 'image', ...args).trim()

  before(async () => {
    const folders = ['--root', folder.at('root'), '--state', folder.at('state')]
    daemon = spawn('containerd', [...folders, '--address', socket, '--log-level', 'error'], { stdio: 'ignore' })
    for (let i = 0; i < 1200 && !existsSync(socket); i++) await sleep(50)
    run('skopeo', 'copy', '--quiet', image.name, `oci-archive:${folder.at('in.tar')}:localhost/in:1`)
    ctr('import', '--no-unpack', folder.at('in.tar'))
  })
  after(async () => {
    const ended = new Promise((resolve) => daemon.on('exit', resolve))
    daemon.kill()
    await ended
    image[Symbol.dispose]()
    folder[Symbol.dispose]()
  })

  for (const option of ['--estargz', '--zstdchunked'])
    test(`what it makes by ${option} is the same image, whole and by parts`, async () => {
      const [want] = await pulledDigest(image.name, 'never')
      const name = `localhost/out${option}:1`
      const path = folder.at(`out${option}.tar`)
      ctr('convert', option, '--oci', ctr('ls', '-q').split('\n')[0] ?? '', name)
      ctr('export', path, name)
      assert.deepEqual(await pulledDigest(`oci-archive:${path}`, 'never'), [want, 'proven', 'proven'])
      assert.deepEqual(await pulledDigest(`oci-archive:${path}`, 'always'), [want, 'toc-only', 'toc-only'])
    })

  test('finds the table of eStargz where it should be', async () => {
    await using store = await openStore(folder.at('store'))
    await obtain(store, image.name)
    const path = folder.at('ours.tar')
    const { images } = await convertImage(store, image.name, 'estargz', `oci-archive:${path}:localhost/ours:1`)
    ctr('import', '--no-unpack', path)
    mkdirSync(folder.at('ours'))
    run('tar', '-xf', path, '-C', folder.at('ours'))
    const manifest = parseArtifact(readFileSync(folder.at('ours/blobs', (images[0]?.manifest ?? '').replace(':', '/'))))
    assert.ok(manifest.kind === 'manifest')
    for (const { digest, annotations } of manifest.layers)
      assert.equal(ctr('get-toc-digest', digest), annotations?.['containerd.io/snapshot/stargz/toc.digest'])
  })
})
