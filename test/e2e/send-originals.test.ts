import assert from 'node:assert/strict'
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { parseArtifact } from '../../src/formats/oci/manifest.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { type Proof, formatRecord } from '../../src/store/records/image-record.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { exportImage } from '../../src/transfer/send/export-image.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { pushImage } from '../../src/transfer/send/push-image.ts'
import { type TestImage, file, makeImage } from '../fixtures/images.ts'
import { noise } from '../servers/registry.ts'
import { scratch } from '../fixtures/scratch.ts'
import { startUploadRegistry } from '../servers/upload-registry.ts'

function twoLayers(): TestImage {
  return makeImage({ compress: 'zstd', layers: [[file('a', noise(300_000))], [file('b', noise(90_000))]] })
}

async function storeWith(root: string, name: string): Promise<Store> {
  const store = await openStore(root)
  await using source = await openSource(name)
  await pull(store, source, { name: 'app' })
  return store
}

/** The store as a pull of parts leaves it: the tar of the first layer is not known. */
async function storeKnowingParts(root: string, name: string, proof: Proof = 'toc-only'): Promise<Store> {
  const store = await storeWith(root, name)
  const { record } = store.find('app')
  const layers = record.layers.map((layer, place) => (place === 0 ? { ...layer, proof } : layer))
  const path = `${root}/records/${record.manifest.digest}`
  rmSync(path)
  writeFileSync(path, formatRecord({ ...record, layers }))
  assert.equal(store.find('app').record.layers[0]?.proof, proof)
  return store
}

describe('a layer of which only parts were pulled', () => {
  test('goes out as it was, beside one that is compressed anew', async () => {
    using place = scratch('originals')
    using image = twoLayers()
    await using store = await storeKnowingParts(place.at('store'), image.name)
    const { top } = await exportImage(store, 'app', `oci:${place.at('out')}:x`)
    assert.ok(top !== undefined && top !== image.manifest.digest)
    const manifest = parseArtifact(readFileSync(place.at('out/blobs', top.replace(':', '/'))))
    assert.ok(manifest.kind === 'manifest')
    assert.deepEqual(manifest.layers[0], image.layers[0])
    assert.notEqual(manifest.layers[1]?.digest, image.layers[1]?.digest)
    await using back = await storeWith(place.at('back'), `oci:${place.at('out')}:x`)
    assert.equal(back.find('app').record.images.default, store.find('app').record.images.default)
  })

  test('is not read again by a registry that has it', async () => {
    using place = scratch('originals')
    using image = twoLayers()
    await using store = await storeKnowingParts(place.at('store'), image.name)
    await using registry = await startUploadRegistry()
    const options = { registry: { env: { HOME: '/nonexistent' } } }
    const { top } = await pushImage(store, 'app', `${registry.host}/app:1`, options)
    rmSync(image.folder, { recursive: true })
    const again = await pushImage(store, 'app', `${registry.host}/app:2`, options)
    assert.deepEqual([again.top, again.stats.blobsUploaded], [top, 0])
  })

  const damages: readonly [name: string, damage: (path: string) => void, code: string][] = [
    ['gone', (path) => rmSync(path), 'NOT_FOUND'],
    ['of other bytes', (path) => writeFileSync(path, Buffer.alloc(readFileSync(path).length)), 'DIGEST_MISMATCH'],
  ]
  for (const [name, damage, code] of damages)
    test(`is not sent when its blob is ${name}`, async () => {
      using place = scratch('originals')
      using image = twoLayers()
      await using store = await storeKnowingParts(place.at('store'), image.name)
      const blob = image.layers[0]?.digest ?? ''
      damage(`${image.folder}/blobs/${blob.replace(':', '/')}`)
      for (const destination of [`oci:${place.at('out')}:x`, `oci-archive:${place.at('out.tar')}:x`])
        await assert.rejects(exportImage(store, 'app', destination), {
          code,
          message: new RegExp(`^Cannot send layer ${blob}: the store has only parts of it, and its origin`),
        })
      assert.deepEqual(readdirSync(place.path), ['store'])
    })

  test('is not sent once it was found to be another than its table says', async () => {
    using place = scratch('originals')
    using image = twoLayers()
    await using store = await storeKnowingParts(place.at('store'), image.name, 'failed')
    await assert.rejects(exportImage(store, 'app', `oci:${place.at('out')}:x`), { code: 'CORRUPT' })
  })

  test('cannot be in a Docker archive, which holds tars', async () => {
    using place = scratch('originals')
    using image = twoLayers()
    await using store = await storeKnowingParts(place.at('store'), image.name)
    await assert.rejects(exportImage(store, 'app', `docker-archive:${place.at('out.tar')}`), { code: 'UNSUPPORTED' })
    await exportImage(store, 'app', `tar:${place.at('tree.tar')}`)
  })
})
