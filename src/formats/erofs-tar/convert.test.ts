import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, suite, test } from 'node:test'
import {
  LayoutBuilder,
  type TestEntry,
  directory,
  file,
  hardlink,
  opaque,
  whiteout,
} from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type TestRegistry, needsRegistry, noise, startRegistry } from '../../../test/servers/registry.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { registrySource } from '../../sources/registry/registry.ts'
import { openSource } from '../../sources/open-source.ts'
import type { Source } from '../../sources/source.ts'
import type { ImageRecord } from '../../store/records/image-record.ts'
import { type Store, openStore } from '../../store/store.ts'
import { convertImage } from '../../transfer/convert/convert-image.ts'
import { obtain } from '../../transfer/pull/obtain.ts'
import { pull } from '../../transfer/pull/pull.ts'
import { parseArtifact, writeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { artifactType } from './tar-index-artifact.ts'

/** Directories without entries, over some that have metadata of their own. */
const layers: readonly (readonly TestEntry[])[] = [
  [
    directory('', { mode: 0o700, mtime: 7 }),
    directory('etc', { mode: 0o750, uid: 3, mtime: 8 }),
    file('etc/kept', noise(3000)),
    directory('hidden', { mode: 0o711 }),
    file('hidden/old', noise(100)),
    file('gone', 'x'),
  ],
  [
    file('etc/new/file', noise(90_000, 2)),
    hardlink('etc/new/link', 'etc/new/file'),
    opaque('hidden'),
    file('hidden/new', noise(100, 3)),
    whiteout('gone'),
  ],
]

async function pulled(store: Store, source: Source, partial: 'always' | 'auto' | 'never'): Promise<ImageRecord> {
  await pull(store, source, { name: 'app', partial })
  return store.find('app').record
}

/** Pulled by its indexes, an image is the same as pulled whole, and says that it is believed. */
async function assertUsable(open: () => Promise<Source>): Promise<void> {
  using place = scratch('erofs-tar')
  const images: (string | undefined)[] = []
  for (const partial of ['never', 'always'] as const) {
    await using store = await openStore(place.at(partial))
    await using source = await open()
    const { images: made, layers: found } = await pulled(store, source, partial)
    const proof = partial === 'always' ? 'toc-only' : 'proven'
    assert.deepEqual(
      found.map((layer) => layer.proof),
      found.map(() => proof),
    )
    images.push(made.default)
  }
  assert.equal(images[0], images[1])
}

describe('an image of plain tars with indexes', () => {
  const folder = scratch('erofs-tar')
  const layout = new LayoutBuilder(folder.at('layout'))
  const name = `oci:${layout.folder}:x`
  let store: Store

  before(async () => {
    layout.tag(layout.image({ layers }).manifest, 'x')
    store = await openStore(folder.at('store'))
    await obtain(store, name)
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('is one tree, whole and by parts, and keeps its diffIDs', async () => {
    const place = `oci:${folder.at('out')}:x`
    await convertImage(store, name, 'erofs-tar', place)
    await assertUsable(() => openSource(place))
    await using other = await openStore(folder.at('other'))
    await using source = await openSource(place)
    const [before, now] = [store.find(name).record, await pulled(other, source, 'always')]
    assert.equal(now.images.default, before.images.default)
    assert.deepEqual(
      now.layers.map(({ diffId }) => diffId),
      before.layers.map(({ diffId }) => diffId),
    )
  })

  test('has an artifact that refers to it', async () => {
    const place = `oci:${folder.at('referred')}`
    const { top } = await convertImage(store, name, 'erofs-tar', place)
    // Without a name: the list of what refers to the image is no image.
    await using source = await openSource(place)
    const referrers = (await source.related?.({ referrersOf: top }, {})) ?? assert.fail('nothing refers to it')
    const list = parseArtifact(referrers.bytes, referrers.descriptor)
    assert.ok(list.kind === 'index')
    assert.deepEqual(
      list.manifests.map((entry) => entry.artifactType),
      [artifactType],
    )
    await assertUsable(() => openSource(place))
  })

  test('is not believed in another image', async () => {
    const place = folder.at('tampered')
    await convertImage(store, name, 'erofs-tar', `oci:${place}:x`)
    const source = await openSource(`oci:${place}:x`)
    const document = parseArtifact((await source.resolve({})).bytes)
    assert.ok(document.kind === 'manifest')
    await using _ = source
    const [, layer = assert.fail('a layer is missing')] = document.layers
    // Nobody can tell, since an index has no digests of contents.
    const path = `${place}/blobs/${layer.digest.replace(':', '/')}`
    const bytes = readFileSync(path)
    bytes.set(Buffer.from('tampered'), bytes.indexOf(noise(90_000, 2).subarray(0, 50)))
    writeFileSync(path, bytes)
    await using victim = await openStore(folder.at('victim'))
    await pulled(victim, source, 'always')

    const genuine = new LayoutBuilder(folder.at('genuine'))
    const blobs = layers.map((entries) => genuine.image({ layers: [entries], compress: 'none' }).layers).flat()
    const config = genuine.blob(mediaTypes.config, store.blob(document.config.digest))
    const annotated = blobs.map((blob, i) => ({ ...blob, ...document.layers[i] }))
    genuine.tag(
      genuine.blob(mediaTypes.manifest, writeManifest({ config, layers: annotated, annotations: { a: 'b' } })),
      'x',
    )
    await using honest = await openSource(`oci:${genuine.folder}:x`)
    const record = await pulled(victim, honest, 'auto')
    assert.deepEqual(
      record.layers.map(({ proof }) => proof),
      ['proven', 'proven'],
    )
    assert.equal(record.images.default, store.find(name).record.images.default)
  })
})

describe('the one tree of all tools', { skip: withoutVectors('one-tree') }, () => {
  test('is one tree with its layers as plain tars with indexes', async () => {
    using folder = scratch('erofs-tar')
    const theirs = `oci:${vectors('one-tree/oci') ?? ''}:gz`
    await using store = await openStore(folder.at('store'))
    const { record } = await obtain(store, theirs)
    const place = `oci:${folder.at('out')}:x`
    await convertImage(store, theirs, 'erofs-tar', place)
    await using other = await openStore(folder.at('other'))
    await using source = await openSource(place)
    assert.equal((await pulled(other, source, 'always')).images.default, record.images.default)
  })
})

suite('in a real registry', { skip: needsRegistry }, () => {
  const folder = scratch('erofs-tar')
  const nobody = { env: { HOME: '/nonexistent' } } as const
  let registry: TestRegistry
  before(async () => {
    registry = await startRegistry(folder.at('registry'))
  })
  after(async () => {
    await registry[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  test('an image and its indexes are found', async () => {
    const layout = new LayoutBuilder(folder.at('layout'))
    layout.tag(layout.image({ layers }).manifest, 'x')
    const [name, place] = [`oci:${layout.folder}:x`, `${registry.host}/team/app:1`]
    await using store = await openStore(folder.at('store'))
    await obtain(store, name)
    await convertImage(store, name, 'erofs-tar', `docker://${place}`, { source: { registry: nobody } })
    await assertUsable(async () => registrySource(place, nobody))
  })
})
