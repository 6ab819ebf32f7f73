import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { LayoutBuilder, directory, file } from '../../../test/fixtures/images.ts'
import { noise } from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { tocImage } from '../../../test/fixtures/toc-images.ts'
import type { Descriptor } from '../../formats/oci/descriptor.ts'
import { mount } from '../../library/mounting.ts'
import { digestOf, parseDiffId } from '../../digest.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { parseEstargzFooter, writeEstargzFooter } from '../../formats/estargz/estargz-footer.ts'
import { writeConfig } from '../../formats/oci/image-config.ts'
import { writeManifest } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { openSource } from '../../sources/open-source.ts'
import { objectPath } from '../../store/store-layout.ts'
import { type Store, openStore } from '../../store/store.ts'
import { proofOf } from './proof.ts'
import { pull } from '../pull/pull.ts'
import { repairStore } from '../repair/repair.ts'
import { proveImage } from './prove-image.ts'

const platform = { os: 'linux', architecture: 'amd64' }
const entries = [directory('etc'), file('etc/passwd', 'root:x:0:0\n'.repeat(20)), file('large', noise(200_000))]

async function pullByTable(store: Store, layout: LayoutBuilder): Promise<void> {
  await using source = await openSource(`oci:${layout.folder}:app`)
  await pull(store, source, { name: 'app', partial: 'always' })
}

async function prove(store: Store, layout: LayoutBuilder): Promise<string> {
  await using source = await openSource(`oci:${layout.folder}:app`)
  return (await proveImage(store, store.find('app'), source)).proof
}

/** Puts an image of one eStargz layer under a name, as its config and the layer's descriptor describe it. */
function publish(layout: LayoutBuilder, layer: Descriptor, diffId: string): void {
  const config = layout.blob(mediaTypes.config, writeConfig({ platform, diffIds: [parseDiffId(diffId)] }))
  layout.tag(layout.blob(mediaTypes.manifest, writeManifest({ config, layers: [layer] })), 'app')
}

/** The layer with another table, which its manifest binds as it did the true one. */
function withTable(layout: LayoutBuilder, layer: Descriptor, change: (json: string) => string): Descriptor {
  const blob = readFileSync(layout.pathOf(layer.digest))
  const { tocOffset = 0, length } = parseEstargzFooter(blob) ?? { length: 0 }
  const tar = gunzipSync(blob.subarray(tocOffset, blob.length - length))
  const size = Number.parseInt(tar.toString('latin1', 124, 135), 8)
  const json = change(tar.toString('utf8', 512, 512 + size))
  assert.equal(json.length, size)
  tar.write(json, 512)
  const changed = Buffer.concat([blob.subarray(0, tocOffset), gzipSync(tar), writeEstargzFooter(tocOffset)])
  const annotations = { ...layer.annotations, 'containerd.io/snapshot/stargz/toc.digest': digestOf(json) }
  return { ...layout.blob(mediaTypes.layerGzip, changed), annotations }
}

describe('an image of which only tables were seen', () => {
  test('is proven by fetching its layers, and stays the same image', async () => {
    using place = scratch('verify')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest } = await tocImage(layout, 'estargz', [entries, [file('top', noise(1000, 2))]])
    layout.tag(manifest, 'app')
    await using store = await openStore(place.at('store'))
    await pullByTable(store, layout)
    const before = store.find('app')
    assert.equal(proofOf(before.record).proof, 'toc-only')
    assert.equal(await prove(store, layout), 'proven')
    const after = store.find('app')
    assert.equal(after.imageDigest, before.imageDigest)
    assert.ok(after.record.layers.every(({ proof, toc }) => proof === 'proven' && toc === undefined))
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    // There is nothing left to prove, so nothing is asked for.
    const nowhere = { ...(await openSource(`oci:${layout.folder}:app`)), blob: () => assert.fail('it was read again') }
    assert.equal((await proveImage(store, after, nowhere)).proof, 'proven')
  })

  test('does not share them under the diffID that it claims', async () => {
    using place = scratch('verify')
    const layout = new LayoutBuilder(place.at('layout'))
    const victim = layout.image({ layers: [[file('etc/passwd', 'the real one '.repeat(20))]] })
    layout.tag(victim.manifest, 'victim')
    const { layers } = await tocImage(layout, 'estargz', [entries])
    publish(layout, layers[0]!, victim.diffIds[0]!)
    await using store = await openStore(place.at('store'))
    await pullByTable(store, layout)
    await using source = await openSource(`oci:${layout.folder}:victim`)
    const { stats } = await pull(store, source, { name: 'victim' })
    assert.deepEqual([stats.layersPulled, stats.layersPresent], [1, 0])
    assert.notEqual(store.find('victim').imageDigest, store.find('app').imageDigest)
  })

  for (const [name, lie] of [
    ['whose config claims another diffID', (layer: Descriptor) => layer],
    [
      'whose table says another mode than the tar',
      (layer: Descriptor, layout: LayoutBuilder) =>
        withTable(layout, layer, (json) => json.replace(/("mode": ?)420/, '$1509')),
    ],
  ] as const)
    test(`${name} is found to lie, and is not mounted`, async () => {
      using place = scratch('verify')
      const layout = new LayoutBuilder(place.at('layout'))
      const { layers } = await tocImage(layout, 'estargz', [entries])
      const layer = lie(layers[0]!, layout)
      const real = digestOf(gunzipSync(readFileSync(layout.pathOf(layer.digest))))
      publish(layout, layer, layer === layers[0] ? digestOf('something else') : real)
      await using store = await openStore(place.at('store'))
      await pullByTable(store, layout)
      assert.equal(await prove(store, layout), 'failed')
      await assert.rejects(mount(store, 'app'), { code: 'DIGEST_MISMATCH', message: /is not what its table/ })
      assert.equal(await prove(store, layout), 'failed')
      // Nor can its table make it believed again: now it is pulled whole, or not at all.
      if (layer === layers[0]) await assert.rejects(pullByTable(store, layout), { code: 'DIGEST_MISMATCH' })
      else {
        await pullByTable(store, layout)
        assert.equal(proofOf(store.find('app').record).proof, 'proven')
      }
    })

  test('is not found to lie when the source does', async () => {
    using place = scratch('verify')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest } = await tocImage(layout, 'estargz', [entries])
    layout.tag(manifest, 'app')
    await using store = await openStore(place.at('store'))
    await pullByTable(store, layout)
    const source = await openSource(`oci:${layout.folder}:app`)
    const other = {
      ...source,
      blobFile: async () => undefined,
      blob: async function* () {
        yield Buffer.from('something else')
      },
    }
    await assert.rejects(proveImage(store, store.find('app'), other), { code: 'DIGEST_MISMATCH' })
    assert.equal(proofOf(store.find('app').record).proof, 'toc-only')
  })
})

/** Flips a bit of `large`, and says which paths fsck finds affected. */
async function damageLarge(store: Store): Promise<readonly string[]> {
  const path = objectPath(store.root, verityDigest(noise(200_000)))
  chmodSync(path, 0o644)
  const bytes = readFileSync(path)
  bytes.writeUInt8((bytes[5000] ?? 0) ^ 1, 5000)
  writeFileSync(path, bytes)
  chmodSync(path, 0o444)
  const { damage } = await store.fsck({ dryRun: true })
  assert.deepEqual([damage.length, damage[0]?.kind], [1, 'object'])
  return damage.flatMap(({ affected }) => affected.flatMap(({ paths }) => paths))
}

describe('a check of an image of which only tables were seen', () => {
  test('finds nothing, then what was damaged, which is fetched again', async () => {
    using place = scratch('verify')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest } = await tocImage(layout, 'estargz', [entries, [file('top', noise(1000, 2))]])
    layout.tag(manifest, 'app')
    await using store = await openStore(place.at('store'))
    await pullByTable(store, layout)
    const { imageDigest } = store.find('app')
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    assert.deepEqual(await damageLarge(store), ['/large'])
    const { left, failures } = await repairStore(store)
    assert.deepEqual([left, failures, store.find('app').imageDigest], [[], [], imageDigest])
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    assert.equal(await prove(store, layout), 'proven')
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('and of one that was found to lie: what its tar has instead is taken, if that is what the config says', async () => {
    for (const isTarTrue of [true, false]) {
      using place = scratch('verify')
      const layout = new LayoutBuilder(place.at('layout'))
      const [honest] = (await tocImage(layout, 'estargz', [entries])).layers
      assert.ok(honest !== undefined)
      const lie = withTable(layout, honest, (json) => json.replace(/("mode": ?)420/, '$1509'))
      const real = digestOf(gunzipSync(readFileSync(layout.pathOf(lie.digest))))
      publish(layout, lie, isTarTrue ? real : digestOf('something else'))
      await using store = await openStore(place.at('store'))
      await pullByTable(store, layout)
      assert.equal(await prove(store, layout), 'failed')
      assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
      assert.deepEqual(await damageLarge(store), ['/large'])
      const { left, failures } = await repairStore(store)
      const again = (await store.fsck({ rebuild: true })).damage
      assert.deepEqual(again, left)
      if (isTarTrue) assert.deepEqual([left, failures, proofOf(store.find('app').record).proof], [[], [], 'proven'])
      else assert.deepEqual([left.map(({ kind }) => kind), failures.length], [['object'], 1])
    }
  })
})
