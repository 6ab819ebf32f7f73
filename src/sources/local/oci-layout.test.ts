import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type ImageOptions, LayoutBuilder, file, makeImage, symlink } from '../../../test/fixtures/images.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { type Digest, digestOf } from '../../digest.ts'
import type { Code } from '../../error.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { checkLayerTypes } from '../../formats/oci/manifest.ts'
import { selectImage } from '../../formats/oci/select-image.ts'
import { openSource } from '../open-source.ts'
import type { Source } from '../source.ts'

const options: ImageOptions = { layers: [[file('a', 'hello')], [symlink('b', 'a')]] }
const amd64 = { os: 'linux', architecture: 'amd64' }

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks))
}

async function layersOf(source: Source): Promise<readonly Descriptor[]> {
  const image = await selectImage(await source.resolve(), amd64, (descriptor) => source.fetch(descriptor))
  checkLayerTypes(image.manifest, new Set())
  for (const layer of image.manifest.layers) assert.equal(digestOf(await collect(source.blob(layer))), layer.digest)
  return image.manifest.layers
}

test('a layout gives documents, blobs, ranges of blobs and where they lie', async () => {
  using image = makeImage(options)
  await using source = await openSource(image.name)
  assert.deepEqual([source.name, source.kind], [image.name, 'layer'])
  const top = await source.resolve()
  assert.equal(top.descriptor.digest, image.manifest.digest)
  assert.deepEqual(
    Buffer.from(await source.fetch(image.config)),
    readFileSync(image.layout.pathOf(image.config.digest)),
  )
  const [layer] = image.layers
  assert.ok(layer !== undefined)
  const bytes = readFileSync(image.layout.pathOf(layer.digest))
  assert.deepEqual(await collect(source.blob(layer)), bytes)
  assert.deepEqual(await collect(source.blob(layer, { offset: 10 })), bytes.subarray(10))
  assert.deepEqual(await collect(source.blob(layer, { offset: 10, end: 20, lent: true })), bytes.subarray(10, 20))
  assert.equal((await collect(source.blob(layer, { offset: layer.size }))).length, 0)
  assert.deepEqual(await source.blobFile?.(layer), {
    path: image.layout.pathOf(layer.digest),
    offset: 0,
    length: layer.size,
  })
})

test('the image of a layout is chosen by name, by digest, or because it is alone', async () => {
  using folder = scratch('layout')
  const layout = new LayoutBuilder(folder.at('layout'))
  const [one, two] = [layout.image(options).manifest, layout.image({ ...options, compress: 'zstd' }).manifest]
  const index = layout.index(one, { ...two, platform: { os: 'linux', architecture: 'arm64' } })
  const chosen = async (suffix: string): Promise<Digest> => {
    await using source = await openSource(`oci:${layout.folder}${suffix}`)
    return (await source.resolve()).descriptor.digest
  }
  await assert.rejects(chosen(''), { code: 'NOT_FOUND', message: /it holds none/ })
  layout.tag(one, 'v1')
  assert.equal(await chosen(''), one.digest)
  layout.tag(one, 'same')
  assert.equal(await chosen(''), one.digest)
  layout.tag(two, 'v2')
  layout.tag(index, 'multi')
  assert.equal(await chosen(':v1'), one.digest)
  assert.equal(await chosen(':v2'), two.digest)
  assert.equal(await chosen(':multi'), index.digest)
  assert.equal(await chosen(`@${two.digest}`), two.digest)

  await assert.rejects(chosen(''), { code: 'BAD_NAME', message: /holds "v1", "same", "v2", "multi"$/ })
  layout.tag({ ...two, annotations: { 'io.containerd.image.name': 'docker.io/library/app:2' } })
  assert.equal(await chosen(':docker.io/library/app:2'), two.digest)
  await assert.rejects(chosen(':v3'), {
    code: 'NOT_FOUND',
    message: /"v3" in .*it holds "v1", .*"docker.io\/library\/app:2"$/,
  })
  await assert.rejects(chosen(`@${digestOf('x')}`), { code: 'NOT_FOUND' })
  layout.tag(two, 'v1')
  await assert.rejects(chosen(':v1'), { code: 'BAD_FORMAT', message: /it names 2 images/ })
})

test('a manifest that only an index names is found by its digest', async () => {
  using folder = scratch('layout')
  const layout = new LayoutBuilder(folder.at('layout'))
  const inner = layout.image(options).manifest
  layout.tag(layout.index(inner), 'multi')
  await using source = await openSource(`oci:${layout.folder}@${inner.digest}`)
  const { descriptor } = await source.resolve()
  assert.deepEqual(
    [descriptor.digest, descriptor.mediaType, descriptor.size],
    [inner.digest, inner.mediaType, inner.size],
  )
})

test('a list of what refers to an image is no image', async () => {
  using folder = scratch('layout')
  const layout = new LayoutBuilder(folder.at('layout'))
  const { manifest } = layout.image(options)
  layout.tag(manifest, 'only')
  layout.tag(layout.index(), manifest.digest.replace(':', '-'))
  await using source = await openSource(`oci:${layout.folder}`)
  assert.equal((await source.resolve()).descriptor.digest, manifest.digest)
})

test("an index.json that lists one image's platforms is its index", async () => {
  using folder = scratch('layout')
  const layout = new LayoutBuilder(folder.at('layout'))
  const arm64 = layout.image({ ...options, platform: { os: 'linux', architecture: 'arm64' } })
  const other = layout.image(options)
  layout.tag(arm64.manifest)
  layout.tag(other.manifest)
  await using source = await openSource(`oci:${layout.folder}`)
  const top = await source.resolve()
  assert.equal(top.descriptor.digest, digestOf(readFileSync(`${layout.folder}/index.json`)))
  const image = await selectImage(top, amd64, (descriptor) => source.fetch(descriptor))
  assert.equal(image.descriptor.digest, other.manifest.digest)
})

describe('a layout is refused', () => {
  const hostile: [
    name: string,
    damage: (folder: string, layout: LayoutBuilder, image: string) => void,
    code: Code,
    message: RegExp,
  ][] = [
    ['that is not there', (folder) => rmSync(folder, { recursive: true }), 'NOT_FOUND', /no such directory/],
    [
      'that is a file',
      (folder) => (rmSync(folder, { recursive: true }), writeFileSync(folder, '')),
      'BAD_FORMAT',
      /no directory/,
    ],
    ['without oci-layout', (folder) => rmSync(`${folder}/oci-layout`), 'BAD_FORMAT', /no file "oci-layout"/],
    [
      'of a version to come',
      (folder) => writeFileSync(`${folder}/oci-layout`, '{"imageLayoutVersion":"2.0.0"}'),
      'UNSUPPORTED',
      /"2.0.0", expected 1.x/,
    ],
    [
      'without version',
      (folder) => writeFileSync(`${folder}/oci-layout`, '{}'),
      'BAD_FORMAT',
      /imageLayoutVersion is missing/,
    ],
    ['without index.json', (folder) => rmSync(`${folder}/index.json`), 'BAD_FORMAT', /no file "index.json"/],
    ['with half an index', (folder) => truncateSync(`${folder}/index.json`, 40), 'BAD_FORMAT', /not JSON/],
    [
      'with a 10 MB index',
      (folder) => writeFileSync(`${folder}/index.json`, ' '.repeat(10_000_000)),
      'LIMIT',
      /10000000 bytes/,
    ],
    [
      'whose index is a link',
      (folder) => link(`${folder}/index.json`, '/etc/passwd'),
      'BAD_FORMAT',
      /is a symbolic link/,
    ],
    [
      'whose index is a directory',
      (folder) => (rmSync(`${folder}/index.json`), mkdirSync(`${folder}/index.json`)),
      'BAD_FORMAT',
      /no regular file/,
    ],
    [
      'with a path for a digest',
      (folder) => edit(`${folder}/index.json`, /sha256:[0-9a-f]{64}/, 'sha256:../../../etc/passwd'),
      'BAD_FORMAT',
      /manifests\[0\].digest/,
    ],
    ['without the manifest', (_, layout, image) => rmSync(layout.pathOf(image)), 'NOT_FOUND', /its index names it/],
    [
      'whose manifest is a link',
      (_, layout, image) => link(layout.pathOf(image), '/etc/passwd'),
      'BAD_FORMAT',
      /symbolic link/,
    ],
    [
      'whose manifest is another one',
      (_, layout, image) => edit(layout.pathOf(image), /"schemaVersion":2/, '"schemaVersion": 2'),
      'DIGEST_MISMATCH',
      /hash to/,
    ],
    [
      'whose manifest is cut short',
      (_, layout, image) => truncateSync(layout.pathOf(image), 100),
      'DIGEST_MISMATCH',
      /hash to/,
    ],
    [
      'whose index lies about a size',
      (folder) => edit(`${folder}/index.json`, /"size":\d+/, '"size":1'),
      'DIGEST_MISMATCH',
      /the index says 1/,
    ],
    [
      'whose manifest is a FIFO',
      (_, layout, image) => (rmSync(layout.pathOf(image)), execFileSync('mkfifo', [layout.pathOf(image)])),
      'BAD_FORMAT',
      /no regular file/,
    ],
  ]
  for (const [name, damage, code, message] of hostile)
    test(name, async () => {
      using image = makeImage(options)
      damage(image.folder, image.layout, image.manifest.digest)
      await assert.rejects(
        async () => {
          await using source = await openSource(image.name)
          await source.resolve()
        },
        { code, message },
      )
    })
})

describe('a blob is refused', () => {
  const good = digestOf('good')
  const fetched: [name: string, bytes: string, descriptor: Partial<Descriptor>, code: Code][] = [
    ['that is not there', 'good', { digest: digestOf('other') }, 'NOT_FOUND'],
    ['that is longer than promised', 'good', { size: 3 }, 'DIGEST_MISMATCH'],
    ['that is shorter than promised', 'good', { size: 5 }, 'DIGEST_MISMATCH'],
    ['that is another one', 'evil', {}, 'DIGEST_MISMATCH'],
    ['that is too large for a document', 'good', { size: 10_000_000 }, 'LIMIT'],
  ]
  for (const [name, bytes, descriptor, code] of fetched)
    test(name, async () => {
      using image = makeImage(options)
      writeFileSync(image.layout.pathOf(good), bytes)
      await using source = await openSource(image.name)
      await assert.rejects(source.fetch({ mediaType: 'x', digest: good, size: 4, ...descriptor }), { code })
    })

  test('before a byte of it is read, when its length is wrong', async () => {
    using image = makeImage(options)
    const [layer] = image.layers
    assert.ok(layer !== undefined)
    truncateSync(image.layout.pathOf(layer.digest), layer.size - 1)
    await using source = await openSource(image.name)
    await assert.rejects(collect(source.blob(layer)), { code: 'DIGEST_MISMATCH', message: /expected \d+/ })
    await assert.rejects(async () => source.blobFile?.(layer), { code: 'DIGEST_MISMATCH' })
  })

  test('when it is a link, even to the right bytes', async () => {
    using image = makeImage(options)
    const [layer] = image.layers
    assert.ok(layer !== undefined)
    const path = image.layout.pathOf(layer.digest)
    renameSync(path, `${image.folder}/elsewhere`)
    symlinkSync(`${image.folder}/elsewhere`, path)
    await using source = await openSource(image.name)
    await assert.rejects(collect(source.blob(layer)), { code: 'BAD_FORMAT', message: /symbolic link/ })
  })
})

test('an abort ends reading', async () => {
  using image = makeImage(options)
  await using source = await openSource(image.name)
  const [layer] = image.layers
  assert.ok(layer !== undefined)
  const signal = AbortSignal.abort()
  await assert.rejects(source.resolve({ signal }), { name: 'AbortError' })
  await assert.rejects(source.fetch(image.config, { signal }), { name: 'AbortError' })
  await assert.rejects(collect(source.blob(layer, { signal })), { name: 'AbortError' })
  await assert.rejects(openSource(image.name, { signal }), { name: 'AbortError' })
})

test('layouts of the vectors are read', { skip: withoutVectors('one-tree/oci') }, async () => {
  const layout = `oci:${vectors('one-tree/oci')}`
  for (const name of ['gz', 'skopeo-zstd', 'skopeo-zstd-chunked', 'estargz', 'stargz-zstdchunked', 'soci2']) {
    await using source = await openSource(`${layout}:${name}`)
    assert.equal((await layersOf(source)).length, 2, name)
  }
  await using native = await openSource(`${layout}:erofs-native`)
  await assert.rejects(layersOf(native), { code: 'UNSUPPORTED', message: /"application\/vnd.erofs.layer.v1\+zstd"/ })
  await using toc = await openSource(`${layout}:puzzlefs-readme`)
  await assert.rejects(layersOf(toc), { code: 'NOT_FOUND' })
})

test('layouts that skopeo and umoci write are read', { skip: needsPrograms('skopeo', 'umoci') }, async () => {
  using image = makeImage(options)
  using folder = scratch('layout')
  execFileSync('skopeo', ['copy', '-q', image.name, `oci:${folder.at('skopeo')}:a`])
  await using copied = await openSource(`oci:${folder.at('skopeo')}:a`)
  assert.deepEqual(
    (await layersOf(copied)).map(({ digest }) => digest),
    image.layers.map(({ digest }) => digest),
  )

  execFileSync('umoci', ['init', '--layout', folder.at('umoci')])
  await using empty = await openSource(`oci:${folder.at('umoci')}`)
  await assert.rejects(empty.resolve(), { code: 'NOT_FOUND', message: /it holds none/ })
  execFileSync('umoci', ['new', '--image', `${folder.at('umoci')}:new`])
  await using made = await openSource(`oci:${folder.at('umoci')}:new`)
  assert.deepEqual(await layersOf(made), [])
})

function link(path: string, target: string): void {
  rmSync(path)
  symlinkSync(target, path)
}

function edit(path: string, from: RegExp, to: string): void {
  writeFileSync(path, readFileSync(path, 'utf8').replace(from, to))
}
