import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  globSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage, stageLayer, testMount } from '../../../test/fixtures/store-image.ts'
import { hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { blobPath, imagePath, objectPath, recipePath, recordPath } from '../store-layout.ts'
import { formatMountRecord } from '../mount-record.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { type Store, openStore } from '../store.ts'

const shared = Buffer.alloc(5000, 'in both images. ')
const alone = Buffer.alloc(700, 'in one image. ')
const oneLayers = [[file('shared', shared)], [file('alone', alone)]]
const twoLayers = [[file('shared', shared), file('more', 'x')]]

async function add(
  store: Store,
  name: string,
  layers: Parameters<typeof stageImage>[1]['layers'],
): Promise<ImageRecord> {
  await using transaction = await store.begin()
  const record = stageImage(transaction, { layers, name })
  await transaction.commit()
  return record
}

function has(store: Store, bytes: Uint8Array): boolean {
  return existsSync(objectPath(store.root, verityDigest(bytes)))
}

describe('gc', () => {
  test('deletes what no name needs, and nothing else', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', oneLayers)
    const two = await add(store, 'two', twoLayers)
    assert.equal((await store.gc()).bytes, 0)
    assert.equal(await store.remove('one'), 'one')
    const planned = await store.gc({ dryRun: true })
    assert.ok(has(store, alone))
    const report = await store.gc()
    assert.deepEqual({ ...planned, dryRun: false }, report)
    assert.deepEqual(report.objects, { count: 1, bytes: 700 })
    assert.deepEqual(
      [report.records.count, report.images.count, report.recipes.count, report.blobs.count, report.transactions],
      [1, 1, 2, 2, 0],
    )
    assert.equal(has(store, alone), false)
    assert.ok(has(store, shared))
    for (const path of [recordPath(store.root, one.manifest.digest), blobPath(store.root, one.config.digest)])
      assert.equal(existsSync(path), false)
    assert.deepEqual(store.find('two').record, two)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    assert.equal((await store.gc()).bytes, 0)
    assert.deepEqual(readdirSync(`${store.root}/tmp`), [])
  })

  test('a dry run tells what the collection after it does', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    await add(store, 'one', oneLayers)
    const linked = Buffer.alloc(800, 'linked. ')
    const held = Buffer.alloc(900, 'held. ')
    await add(store, 'three', [[file('linked', linked), file('held', held)]])
    await add(store, 'two', twoLayers)
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    staging.hold([verityDigest(held)])
    await store.remove('one')
    await store.remove('three')
    linkSync(objectPath(store.root, verityDigest(linked)), place.at('link'))
    const dead = `${store.root}/tmp/00000000000000aa`
    mkdirSync(dead)
    writeFileSync(`${dead}/file`, Buffer.alloc(10_000))
    const dryRun = true
    const hour = { keepYoungerThan: 3_600_000 }
    const [spared, planned] = [await store.gc({ ...hour, dryRun }), await store.gc({ dryRun })]
    assert.deepEqual(await store.gc({ dryRun }), planned)
    assert.deepEqual([spared.objects.count, planned.objects, planned.transactions], [0, { count: 2, bytes: 1500 }, 1])
    const own = lstatSync(objectPath(store.root, verityDigest(alone))).blocks * 512
    assert.ok(planned.freed > own + 10_000)
    // The first collection takes the dead transaction away, and nothing else.
    const { records, objects, transactions } = await store.gc(hour)
    assert.deepEqual([records.count, objects.count, transactions], [0, 0, 1])
    assert.deepEqual(await store.gc(), {
      ...planned,
      dryRun: false,
      transactions: 0,
      freed: planned.freed - spared.freed,
    })
  })

  test('leaves an empty store empty, so that the next pull names whole folders', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    await add(store, 'one', oneLayers)
    await store.remove('one')
    await store.gc()
    assert.deepEqual(readdirSync(`${store.root}/objects`), [])
    await add(store, 'one', oneLayers)
    assert.deepEqual((await store.fsck()).damage, [])
  })

  test('spares what a living transaction holds, and lets it commit', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    await add(store, 'one', oneLayers)
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    assert.equal(staging.has(verityDigest(alone)), true)
    await store.remove('one')
    const report = await store.gc()
    assert.equal(report.objects.count, 1)
    assert.ok(has(store, alone))
    assert.equal(has(store, shared), false)
    stageImage(transaction, { layers: oneLayers, name: 'again' })
    await transaction.commit()
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('spares a recipe that was found, with its objects', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    const [layer, other] = record.layers
    assert.ok(layer && other)
    await using transaction = await store.begin()
    assert.deepEqual(await transaction.findLayer({ diffId: layer.diffId }), layer)
    await store.remove('one')
    await store.gc()
    assert.ok(has(store, shared))
    assert.ok(existsSync(recipePath(store.root, layer.recipe)))
    assert.equal(existsSync(recipePath(store.root, other.recipe)), false)
  })

  test('a transaction that relies on a record without holding it is told to start again', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    await using transaction = await store.begin()
    assert.ok(store.record(record.manifest.digest))
    transaction.putBlob(record.manifest.digest, store.blob(record.manifest.digest))
    transaction.setRef('again', record.manifest)
    await store.remove('one')
    await store.gc()
    await assert.rejects(transaction.commit(), (error) => hasCode(error, 'BUSY'))
    assert.deepEqual(store.refs(), [])
  })

  test('a held object that went all the same stops the commit', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    staging.hold([verityDigest(alone)])
    stageImage(transaction, { layers: twoLayers, name: 'two' })
    await store.gc()
    await assert.rejects(transaction.commit(), (error) => hasCode(error, 'BUSY'))
  })

  test('spares an image that is open somewhere, and its objects, until it is closed', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    const image = record.images.default
    assert.ok(image)
    const mounted = openSync(imagePath(store.root, image), 'r')
    await store.remove('one')
    assert.equal((await store.gc()).recipes.count, 2)
    assert.ok(has(store, alone) && has(store, shared) && existsSync(imagePath(store.root, image)))
    assert.equal((await store.gc()).bytes, 0)
    closeSync(mounted)
    assert.equal((await store.gc()).objects.count, 2)
    assert.equal(existsSync(imagePath(store.root, image)), false)
  })

  test('spares the image below changes that were kept', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    await store.remove('one')
    for (const id of ['aaaaaaaaaaaa', 'bbbbbbbbbbbb']) mkdirSync(`${store.root}/mounts/${id}`, { recursive: true })
    const file = `${store.root}/mounts/aaaaaaaaaaaa/mount.json`
    const image = record.images.default ?? assert.fail('it has no image')
    const mount = { ...testMount, id: 'aaaaaaaaaaaa', image }
    writeFileSync(file, formatMountRecord({ ...mount, changes: '/x' }))
    await store.gc()
    assert.ok(has(store, alone))
    assert.deepEqual(store.recordsWith(image), [record])
    for (const { recipe } of record.layers) assert.ok(store.hasRecipe(recipe))
    assert.ok(store.blob(record.manifest.digest).length > 0 && store.blob(record.config.digest).length > 0)
    writeFileSync(file, Buffer.from(formatMountRecord({ ...mount, changes: '/x' })).subarray(0, 100))
    await assert.rejects(store.gc(), (error) => hasCode(error, 'CORRUPT'))
    assert.ok(has(store, alone))
    writeFileSync(file, formatMountRecord(mount))
    await store.gc()
    assert.equal(has(store, alone), false)
  })

  test('deletes nothing when it cannot tell what is needed', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    await add(store, 'two', twoLayers)
    await store.remove('two')
    const [layer] = record.layers
    assert.ok(layer)
    for (const path of [
      recipePath(store.root, layer.recipe),
      recordPath(store.root, record.manifest.digest),
      `${store.root}/refs/one`,
    ]) {
      const good = readFileSync(path)
      writeFileSync(path, good.subarray(0, good.length - 5))
      await assert.rejects(store.gc(), (error) => hasCode(error, 'CORRUPT'), path)
      writeFileSync(path, good)
    }
    assert.equal((await store.gc()).records.count, 1)
    assert.deepEqual((await store.fsck()).damage, [])
  })

  test('deletes what the dead have left', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const dead = `${store.root}/tmp/00000000000000aa`
    mkdirSync(`${dead}/objects`, { recursive: true })
    mkdirSync(`${store.root}/tmp/00000000000000bb.dead`)
    writeFileSync(`${store.root}/tmp/ref-0`, '')
    writeFileSync(`${store.root}/tmp/new-${randomUUID()}`, '')
    await using transaction = await store.begin()
    assert.equal((await store.gc()).transactions, 0)
    mkdirSync(dead)
    using staging = transaction.staging('a')
    stageLayer(staging, [file('a', alone)])
    assert.equal((await store.gc({ dryRun: true })).transactions, 1)
    assert.equal((await store.gc()).transactions, 1)
    assert.equal(readdirSync(`${store.root}/tmp`).length, 1)
  })

  test('leaves alone what is not its own, inside the store and out of it', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    await add(store, 'one', oneLayers)
    mkdirSync(place.at('outside'))
    const name = verityDigest(alone).slice(2)
    writeFileSync(place.at('outside', name), 'not ours')
    symlinkSync(place.at('outside'), `${store.root}/objects/zz`)
    writeFileSync(`${store.root}/objects/stray`, '')
    writeFileSync(`${store.root}/blobs/stray`, '')
    await store.remove('one')
    assert.equal((await store.gc()).objects.count, 2)
    assert.deepEqual(readdirSync(place.at('outside')), [name])
    assert.deepEqual((await store.fsck()).strays, ['blobs/stray', 'objects/stray', 'objects/zz'])
  })

  test('spares images that lost their name a short while ago, whole', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const hour = 3_600_000
    const one = await add(store, 'one', oneLayers)
    const two = await add(store, 'two', [[file('own', Buffer.alloc(900, 'of two. '))]])
    // Everything in the store is a week old.
    const old = new Date(Date.now() - 7 * 24 * hour)
    for (const path of globSync(`${store.root}/{objects,blobs,layers,records,images}/**`)) utimesSync(path, old, old)
    await store.remove('one')
    await store.tag('two', 'other')
    assert.equal((await store.gc({ keepYoungerThan: hour })).bytes, 0)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    // A name that is given to another image is lost as well.
    await store.remove('two')
    utimesSync(recordPath(store.root, two.manifest.digest), old, old)
    await add(store, 'other', twoLayers)
    const later = new Date(Date.now() - 2 * hour)
    assert.equal((await store.gc({ keepYoungerThan: hour, dryRun: true })).bytes, 0)
    utimesSync(recordPath(store.root, one.manifest.digest), later, later)
    const report = await store.gc({ keepYoungerThan: hour })
    assert.deepEqual([report.records.count, report.objects], [1, { count: 1, bytes: 700 }])
    assert.equal((await store.gc({ keepYoungerThan: 3 * hour })).bytes, 0)
    assert.equal((await store.gc()).records.count, 1)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('what belongs to no image goes by its own time; a pull of an old object is safe', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'one', oneLayers)
    await store.remove('one')
    rmSync(recordPath(store.root, record.manifest.digest))
    const old = new Date(Date.now() - 10_000_000)
    utimesSync(objectPath(store.root, verityDigest(alone)), old, old)
    utimesSync(imagePath(store.root, record.images.default ?? assert.fail('it has no image')), old, old)
    const [layer] = record.layers
    // A young recipe keeps its objects; that of the old one is old as well.
    for (const { recipe } of record.layers)
      if (recipe !== layer?.recipe) utimesSync(recipePath(store.root, recipe), old, old)
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    const report = await store.gc({ keepYoungerThan: 1_000_000, dryRun: true })
    assert.deepEqual([report.objects.count, report.recipes.count], [1, 1])
    assert.equal(staging.has(verityDigest(alone)), true)
    assert.equal((await store.gc({ keepYoungerThan: 1_000_000 })).objects.count, 0)
    stageImage(transaction, { layers: oneLayers, name: 'again' })
    await transaction.commit()
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('one at a time', async () => {
    using place = scratch('gc')
    await using store = await openStore(place.at('store'))
    const both = await Promise.allSettled([store.gc(), store.gc()])
    assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
  })
})
