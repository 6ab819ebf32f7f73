import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Readable } from 'node:stream'
import { gunzipSync } from 'node:zlib'
import { readTree } from '../../src/library/reading.ts'
import { digestOf } from '../../src/digest.ts'
import { parseArtifact } from '../../src/formats/oci/manifest.ts'
import { treeToJson } from '../../src/image/tree-json.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { exportImage } from '../../src/transfer/send/export-image.ts'
import { LayoutArchive } from '../../src/sources/targets/layout-archive.ts'
import { type PullOptions, type PullResult, pull } from '../../src/transfer/pull/pull.ts'
import { LayoutBuilder, directory, file, hardlink, makeImage, special, symlink, whiteout } from '../fixtures/images.ts'
import { needsPrograms, needsRoot } from '../fixtures/needs.ts'
import { noise } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'

const large = Buffer.concat([noise(1_500_000), Buffer.alloc(1_000_000, 'text that compresses. ')])

function demoImage(options: { compress?: 'none' | 'gzip' | 'zstd' } = {}): ReturnType<typeof makeImage> {
  return makeImage({
    run: { cmd: ['/bin/sh'], env: ['A=b'], labels: { version: '1' } },
    annotations: { 'org.example.note': 'kept' },
    layers: [
      [
        directory('etc'),
        file('etc/gone', 'x'),
        file('etc/small', 'inline', { mode: 0o4755, uid: 7 }),
        file('a', large),
      ],
      [whiteout('etc/gone'), hardlink('etc/same', 'a'), symlink('link', 'etc/small'), file('b', large.subarray(9))],
      [],
    ],
    ...options,
  })
}

async function pullFrom(store: Store, name: string, options: PullOptions = {}): Promise<PullResult> {
  await using source = await openSource(name)
  return pull(store, source, options)
}

/** A store that holds the image as `app`. */
async function storeWith(folder: string, name: string): Promise<Store> {
  const store = await openStore(folder)
  await pullFrom(store, name, { name: 'app', allPlatforms: true })
  return store
}

async function treeOf(store: Store, name: string): Promise<string> {
  return [...treeToJson(await readTree(store, name))].map((entry) => JSON.stringify(entry)).join('\n')
}

describe('export', () => {
  for (const compress of ['none', 'gzip', 'zstd'] as const)
    for (const [transport, target] of [
      ['oci', 'out:1.2'],
      ['oci-archive', 'out.tar:1.2'],
      ['docker-archive', 'out.tar:app:1.2'],
    ] as const)
      test(`to ${transport} of an image with ${compress} layers gives the same image back`, async () => {
        using place = scratch('export')
        using image = demoImage({ compress })
        await using store = await storeWith(place.at('store'), image.name)
        const destination = `${transport}:${place.at(target)}`
        const result = await exportImage(store, 'app', destination)
        await using other = await openStore(place.at('other'))
        const pulled = await pullFrom(other, destination, { name: 'back' })
        const [before, after] = [store.find('app').record, other.find('back').record]
        assert.equal(after.config.digest, before.config.digest)
        assert.deepEqual(
          after.layers.map(({ diffId }) => diffId),
          image.diffIds,
        )
        assert.equal(after.images.default, before.images.default)
        if (result.top !== undefined) assert.equal(pulled.top, result.top)
        assert.deepEqual(
          readdirSync(place.path).filter((name) => name.includes('.onefold-')),
          [],
        )
      })

  test('keeps annotations, and writes the same bytes again', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const first = await exportImage(store, 'app', `oci-archive:${place.at('a.tar')}:x`)
    const second = await exportImage(store, 'app', `oci-archive:${place.at('b.tar')}:x`)
    const folder = await exportImage(store, 'app', `oci:${place.at('c')}:x`)
    assert.ok(readFileSync(place.at('a.tar')).equals(readFileSync(place.at('b.tar'))))
    assert.deepEqual([first.top, first.top], [second.top, folder.top])
    assert.ok(first.top)
    const manifest = parseArtifact(readFileSync(place.at('c/blobs', first.top.replace(':', '/'))))
    assert.deepEqual({ ...manifest.annotations }, { 'org.example.note': 'kept' })
  })

  test('keeps the manifest of an image that was compressed here before', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const { top } = await exportImage(store, 'app', `oci:${place.at('one')}:x`)
    await using other = await storeWith(place.at('other'), `oci:${place.at('one')}:x`)
    const again = await exportImage(other, 'app', `oci:${place.at('two')}:x`, { preserveDigests: true })
    assert.equal(again.top, top)
  })

  test('with preserved digests copies what was not compressed, and refuses what was by others', async () => {
    using place = scratch('export')
    using plain = demoImage({ compress: 'none' })
    await using store = await storeWith(place.at('store'), plain.name)
    const result = await exportImage(store, 'app', `oci:${place.at('plain')}:x`, { preserveDigests: true })
    assert.equal(result.top, plain.manifest.digest)
    using zipped = demoImage({ compress: 'zstd' })
    await using other = await storeWith(place.at('other'), zipped.name)
    const refused = exportImage(other, 'app', `oci:${place.at('zstd')}:x`, { preserveDigests: true })
    await assert.rejects(refused, { code: 'UNSUPPORTED' })
    assert.deepEqual(readdirSync(place.path).toSorted(), ['other', 'plain', 'store'])
  })

  test('adds to a layout as skopeo does', async () => {
    using place = scratch('export')
    using image = demoImage()
    using next = makeImage({ layers: [[file('next', 'x')]] })
    await using store = await storeWith(place.at('store'), image.name)
    await pullFrom(store, next.name, { name: 'next' })
    const entries = async (name: string, tag: string): Promise<(string | undefined)[][]> => {
      await exportImage(store, name, `oci:${place.at('layout')}${tag}`)
      const index = parseArtifact(readFileSync(place.at('layout/index.json')), {
        mediaType: 'application/vnd.oci.image.index.v1+json',
      })
      assert.ok(index.kind === 'index')
      assert.deepEqual(readdirSync(place.at('layout')).toSorted(), ['blobs', 'index.json', 'oci-layout'])
      return index.manifests.map(({ digest, annotations }) => [
        digest,
        annotations?.['org.opencontainers.image.ref.name'],
      ])
    }
    const [[app]] = (await entries('app', ':one')) as [string[]]
    const [, [other]] = (await entries('next', ':two')) as [string[], string[]]
    assert.deepEqual(await entries('next', ':one'), [
      [app, undefined],
      [other, 'one'],
    ])
  })

  test('leaves what is no layout, and Docker archives, alone', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    mkdirSync(place.at('folder'))
    writeFileSync(place.at('folder/mine'), 'x')
    writeFileSync(place.at('file'), 'x')
    for (const destination of ['oci:folder', 'oci:file', 'docker-archive:file']) {
      const [transport, name = ''] = destination.split(':')
      await assert.rejects(exportImage(store, 'app', `${transport}:${place.at(name)}`), { code: 'EXISTS' })
    }
    await assert.rejects(exportImage(store, 'app', `oci-archive:${place.at('no/such/file')}`), { code: 'NOT_FOUND' })
    assert.deepEqual([readdirSync(place.at('folder')), readFileSync(place.at('file'), 'utf8')], [['mine'], 'x'])
  })

  test('writes where a symlink leads', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    writeFileSync(place.at('real'), '')
    symlinkSync('real', place.at('link'))
    await exportImage(store, 'app', `docker-archive:${place.at('link')}`)
    await pullFrom(store, `docker-archive:${place.at('real')}`, { name: 'back' })
    assert.equal(store.find('back').record.config.digest, image.config.digest)
  })

  test('takes all platforms the store has, or the one that is asked for', async () => {
    using place = scratch('export')
    const layout = new LayoutBuilder(place.at('layout'))
    const images = ['amd64', 'arm64', 's390x'].map((architecture) =>
      layout.image({ platform: { os: 'linux', architecture }, layers: [[file('same', large)], [file(architecture)]] }),
    )
    layout.tag(layout.index(...images.map(({ manifest }) => manifest)), 'multi')
    const name = `oci:${place.at('layout')}:multi`
    await using store = await storeWith(place.at('store'), name)
    const all = await exportImage(store, 'app', `oci-archive:${place.at('all.tar')}`, { allPlatforms: true })
    assert.deepEqual(
      all.images.map(({ platform, original }) => [platform, original]),
      images.map(({ manifest }) => [`linux/${manifest.platform?.architecture}`, manifest.digest]),
    )
    await using other = await openStore(place.at('other'))
    const back = await pullFrom(other, `oci-archive:${place.at('all.tar')}`, { allPlatforms: true, name: 'back' })
    assert.deepEqual(
      back.images.map(({ config }) => config),
      images.map(({ config }) => config.digest),
    )
    const arm = { os: 'linux', architecture: 'arm64' }
    const one = await exportImage(store, 'app', `oci:${place.at('one')}`, { platform: arm })
    assert.deepEqual(
      one.images.map(({ config }) => config),
      [images[1]?.config.digest],
    )
    await pullFrom(other, name, { name: 'part', platform: arm })
    await assert.rejects(
      exportImage(other, 'part', `oci:${place.at('two')}`, { allPlatforms: true, preserveDigests: true }),
      { code: 'UNSUPPORTED' },
    )
  })

  test('finds damage, and leaves nothing', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    for (const fan of readdirSync(place.at('store/objects')))
      for (const object of readdirSync(place.at('store/objects', fan))) {
        const path = place.at('store/objects', fan, object)
        const bytes = readFileSync(path)
        bytes[1000] = (bytes[1000] ?? 0) ^ 1
        writeFileSync(path, bytes)
      }
    for (const destination of ['oci:out', 'oci-archive:out', 'docker-archive:out', 'tar:out'])
      await assert.rejects(exportImage(store, 'app', destination.replace('out', place.at('out'))), { code: 'CORRUPT' })
    assert.deepEqual(readdirSync(place.path), ['store'])
  })

  test('holds layers of any size in an archive', async () => {
    using place = scratch('export')
    using image = demoImage({ compress: 'none' })
    const layers = image.layers.map(({ digest }) => readFileSync(image.layout.pathOf(digest)))
    await using target = new LayoutArchive(place.at('out.tar'), 'x')
    for (const bytes of layers) await target.addLayer(Readable.from([bytes]), 2 ** 40)
    for (const { digest, mediaType, size } of [image.config, image.manifest])
      await target.putBlob({ digest, mediaType, size }, readFileSync(image.layout.pathOf(digest)))
    await target.finish([{ descriptor: image.manifest, name: 'x' }])
    await using store = await storeWith(place.at('store'), `oci-archive:${place.at('out.tar')}:x`)
    assert.equal(store.find('app').top.digest, image.manifest.digest)
  })

  test('stops when it is told to', async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    for (const destination of ['oci:out', 'oci-archive:out', 'docker-archive:out']) {
      const controller = new AbortController()
      const onProgress = (): void => controller.abort()
      const { signal } = controller
      const stopped = exportImage(store, 'app', destination.replace('out', place.at('out')), { signal, onProgress })
      await assert.rejects(stopped, { name: 'AbortError' })
    }
    assert.deepEqual(readdirSync(place.path), ['store'])
  })

  test('does not make whiteouts of files in plain trees that look like them', async () => {
    using place = scratch('export')
    mkdirSync(place.at('tree'))
    writeFileSync(place.at('tree/.wh.data'), 'x')
    await using store = await storeWith(place.at('store'), `rootfs:${place.at('tree')}`)
    await assert.rejects(exportImage(store, 'app', `oci:${place.at('out')}`), { code: 'UNSUPPORTED' })
    await exportImage(store, 'app', `tar:${place.at('out')}`)
    await pullFrom(store, `tar:${place.at('out')}`, { name: 'back' })
    assert.equal(await treeOf(store, 'back'), await treeOf(store, 'app'))
  })
})

describe('a tree as one tar', () => {
  test('gives the same tree back, with all that a tree can hold', async () => {
    using place = scratch('export')
    const xattrs = new Map([
      ['user.a=b', Buffer.from('x')],
      ['security.capability', Buffer.from('01000002002000000000000000000000', 'hex')],
    ])
    using image = makeImage({
      layers: [
        [
          directory('', { mode: 0o711, mtime: 5 }),
          directory('d', { mode: 0o1777 }),
          file('d/big', large, { xattrs, mtime: 1_600_000_000, mtimeNsec: 123_456_789, uid: 3_000_000, gid: 1 }),
          file(`d/${'n'.repeat(200)}\xff`, 'x'.repeat(64)),
          file('d/empty'),
          hardlink('a-link', 'd/big'),
          symlink('s', 't'.repeat(300)),
          special('null', 'char', { major: 1, minor: 3, mode: 0o666 }),
          special('pipe', 'fifo'),
        ],
      ],
    })
    await using store = await storeWith(place.at('store'), image.name)
    await exportImage(store, 'app', `tar:${place.at('out.tar')}`)
    const gathered: Buffer[] = []
    await exportImage(store, 'app', 'tar:-', { stdout: (bytes) => void gathered.push(Buffer.from(bytes)) })
    assert.ok(Buffer.concat(gathered).equals(readFileSync(place.at('out.tar'))))
    await pullFrom(store, `tar:${place.at('out.tar')}`, { name: 'back' })
    assert.equal(await treeOf(store, 'back'), await treeOf(store, 'app'))
    assert.equal(store.find('back').imageDigest, store.find('app').imageDigest)
  })

  test('is read by GNU tar', { skip: needsRoot || needsPrograms('tar') }, async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    await exportImage(store, 'app', `tar:${place.at('out.tar')}`)
    mkdirSync(place.at('tree'))
    execFileSync('tar', ['-xpf', place.at('out.tar'), '-C', place.at('tree')])
    await pullFrom(store, `rootfs:${place.at('tree')}`, { name: 'back' })
    assert.equal(await treeOf(store, 'back'), await treeOf(store, 'app'))
  })
})

describe('exports are read by others', { skip: needsRoot || needsPrograms('skopeo', 'umoci') }, () => {
  for (const destination of ['oci:out:x', 'oci-archive:out:x', 'docker-archive:out:app:x'])
    test(`${destination} by skopeo and umoci`, async () => {
      using place = scratch('export')
      using image = demoImage({ compress: 'zstd' })
      await using store = await storeWith(place.at('store'), image.name)
      const written = destination.replace('out', place.at('out'))
      const { top } = await exportImage(store, 'app', written)
      const asked = execFileSync('skopeo', ['inspect', '--raw', written])
      if (top !== undefined) assert.equal(digestOf(asked), top)
      const config = execFileSync('skopeo', ['inspect', '--raw', '--config', written])
      assert.equal(digestOf(config), image.config.digest)
      execFileSync('skopeo', ['copy', '--quiet', written, `oci:${place.at('copy')}:x`], { stdio: 'pipe' })
      execFileSync('umoci', ['raw', 'unpack', '--image', `${place.at('copy')}:x`, place.at('tree')], { stdio: 'pipe' })
      await pullFrom(store, `rootfs:${place.at('tree')}`, { name: 'back' })
      const withoutTimes = async (name: string): Promise<string> =>
        (await treeOf(store, name)).replace(/"mtime\w*":\d+,/g, '')
      assert.equal(await withoutTimes('back'), await withoutTimes('app'))
    })

  test('layers are one gzip member that gzip(1) reads', { skip: needsPrograms('gzip') }, async () => {
    using place = scratch('export')
    using image = demoImage()
    await using store = await storeWith(place.at('store'), image.name)
    const { top } = await exportImage(store, 'app', `oci:${place.at('out')}`)
    const blob = (digest: string): Buffer => readFileSync(place.at('out/blobs', digest.replace(':', '/')))
    assert.ok(top)
    const manifest = parseArtifact(blob(top))
    assert.ok(manifest.kind === 'manifest')
    for (const [i, layer] of manifest.layers.entries()) {
      const bytes = blob(layer.digest)
      assert.equal(digestOf(bytes), layer.digest)
      assert.equal(digestOf(execFileSync('gzip', ['-dc'], { input: bytes, maxBuffer: 1e9 })), image.diffIds[i])
      assert.equal(digestOf(gunzipSync(bytes)), image.diffIds[i])
    }
    assert.ok(existsSync(place.at('out/oci-layout')))
  })
})
