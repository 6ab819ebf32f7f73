import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import { describeBlob } from '../../formats/oci/descriptor.ts'
import { writeIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { hostPlatform, parsePlatform } from '../../formats/oci/platform.ts'
import { blobPath, recordPath } from '../store-layout.ts'
import type { ImageRecord } from './image-record.ts'
import { type Store, openStore } from '../store.ts'

const code = (want: Code) => (error: unknown) => hasCode(error, want)

async function add(store: Store, name: string, text = name): Promise<ImageRecord> {
  await using transaction = await store.begin()
  const record = stageImage(transaction, { layers: [[file('name', text)]], name })
  await transaction.commit()
  return record
}

/** An index of images for these platforms, of which the store gets the first ones. */
async function addIndex(
  store: Store,
  name: string,
  platforms: readonly string[],
  pulled: number,
): Promise<ImageRecord[]> {
  await using transaction = await store.begin()
  const records = platforms
    .slice(0, pulled)
    .map((text) => stageImage(transaction, { layers: [[file(text)]], platform: parsePlatform(text) }))
  const absent = { mediaType: mediaTypes.manifest, digest: digestOf('never pulled'), size: 3 }
  const manifests = platforms.map((text, i) => ({ ...(records[i]?.manifest ?? absent), platform: parsePlatform(text) }))
  const bytes = writeIndex({ manifests })
  const top = describeBlob(mediaTypes.index, bytes)
  transaction.putBlob(top.digest, bytes)
  transaction.setRef(name, top)
  await transaction.commit()
  return records
}

describe('an image is found', () => {
  test('by name, by every digest it has, and by 12 digits of one', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'r.example/app:1')
    await add(store, 'other')
    const image = record.images.default ?? ''
    const names = [record.manifest.digest, record.config.digest].flatMap((digest) => [
      digest,
      digest.slice(7),
      digest.slice(0, 19),
    ])
    for (const name of ['r.example/app:1', ...names, image, image.slice(0, 12), record.config.digest.slice(7, 19)])
      assert.deepEqual(store.find(name).record, record, name)
    const { manifest } = record
    for (const name of [
      'app:1',
      'r.example/app',
      manifest.digest.slice(7, 18),
      `sha512:${manifest.digest.slice(7)}`,
      '',
      '../x',
    ])
      assert.throws(() => store.find(name), code('NOT_FOUND'), name)
  })

  test('a name goes before a digest', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one')
    const two = await add(store, one.manifest.digest.slice(7, 19), 'two')
    assert.deepEqual(store.find(one.manifest.digest.slice(7, 19)).record, two)
    assert.deepEqual(store.find(one.manifest.digest.slice(7, 20)).record, one)
  })

  test('under several names it is one image; two with the same files need more than the digest of those', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', 'same')
    await store.tag('one', 'uno')
    assert.deepEqual(store.find(one.manifest.digest).names, ['one', 'uno'])
    const bytes = Buffer.from('{"another": "config"}')
    {
      await using transaction = await store.begin()
      const config = describeBlob(mediaTypes.config, bytes)
      transaction.putBlob(config.digest, bytes)
      const manifest = { ...one.manifest, digest: config.digest }
      transaction.putRecord({ ...one, config, manifest })
      transaction.setRef('two', manifest)
      await transaction.commit()
    }
    assert.throws(
      () => store.find(one.images.default ?? ''),
      (error) => hasCode(error, 'BAD_NAME') && /one, uno.* or .*two/.test(error.message),
    )
    assert.ok(store.find(one.manifest.digest))
  })

  test('of an index, the one for the platform that was asked for, or for this machine', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const host = `${hostPlatform().os}/${hostPlatform().architecture}`
    const platforms = ['linux/s390x', host, 'linux/arm/v7', 'linux/riscv64']
    const [s390x, here, arm] = await addIndex(store, 'multi', platforms, 3)
    const index = store.ref('multi')?.digest ?? ''
    for (const name of ['multi', index, index.slice(7, 19)]) {
      assert.deepEqual(store.find(name).record, here)
      assert.equal(store.find(name).top.digest, index)
      assert.deepEqual(store.find(name, { platform: parsePlatform('linux/s390x') }).record, s390x)
      assert.deepEqual(store.find(name, { platform: parsePlatform('linux/arm/v8') }).record, arm)
      assert.throws(() => store.find(name, { platform: parsePlatform('linux/riscv64') }), code('NOT_FOUND'))
    }
    assert.deepEqual(store.find(s390x?.manifest.digest ?? '').record, s390x)
    assert.deepEqual(
      store.list().map(({ name, record }) => [name, record]),
      [
        ['multi', s390x],
        ['multi', here],
        ['multi', arm],
      ],
    )
  })

  test('of an index of which one platform was pulled, that one', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const [s390x] = await addIndex(store, 'multi', ['linux/s390x', 'linux/amd64', 'linux/arm64'], 1)
    assert.deepEqual(store.find('multi').record, s390x)
    assert.throws(() => store.find('multi', { platform: parsePlatform('linux/amd64') }), code('NOT_FOUND'))
    assert.deepEqual((await store.fsck()).damage, [])
  })

  test('unless what its name stands for is gone or damaged, which disturbs no other', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one')
    await add(store, 'two')
    await addIndex(store, 'multi', ['linux/amd64'], 1)
    rmSync(recordPath(store.root, one.manifest.digest))
    rmSync(blobPath(store.root, store.ref('multi')?.digest ?? one.manifest.digest))
    assert.throws(() => store.find('one'), code('NOT_FOUND'))
    assert.throws(() => store.find('multi'), code('NOT_FOUND'))
    assert.deepEqual(
      store.list().map(({ name }) => name),
      ['two'],
    )
  })
})

describe('names', () => {
  test('tag gives one to what another stands for, whole indexes included', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one')
    await addIndex(store, 'multi', ['linux/s390x', 'linux/arm64'], 1)
    await store.tag('multi', 'copy')
    assert.deepEqual(store.ref('copy'), store.ref('multi'))
    await store.tag(one.config.digest, 'copy')
    assert.deepEqual(store.ref('copy'), one.manifest)
    await assert.rejects(store.tag('one', 'multi', { condition: 'absent' }), code('EXISTS'))
    await assert.rejects(store.tag('absent', 'x'), code('NOT_FOUND'))
    await assert.rejects(store.tag('one', 'a\nb'), code('BAD_NAME'))
    assert.deepEqual(store.refs(), ['copy', 'multi', 'one'])
  })

  test('remove takes one away, by a digest too when there is only one', async () => {
    using place = scratch('find')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one')
    await store.tag('one', 'uno')
    await assert.rejects(store.remove(one.manifest.digest), code('BUSY'))
    assert.equal(await store.remove('one'), 'one')
    assert.equal(await store.remove(one.manifest.digest), 'uno')
    await assert.rejects(store.remove('one'), code('NOT_FOUND'))
    assert.deepEqual(store.refs(), [])
  })
})
