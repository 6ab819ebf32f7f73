import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage, stageLayer } from '../../../test/fixtures/store-image.ts'
import { type RecipeDigest, digestOf } from '../../digest.ts'
import { type Code, hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { objectPath, recipePath } from '../store-layout.ts'
import { openStore } from '../store.ts'

const code = (want: Code) => (error: unknown) => hasCode(error, want)
const bytes = Buffer.alloc(5000, 'bytes of a file. ')
const object = verityDigest(bytes)
const other = Buffer.alloc(100, 'other bytes. ')
const layers = [[file('a', bytes), file('b', other), file('small', 'inline')]]
const absent = '0'.repeat(64)

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name)
}

describe('transaction', () => {
  test('nothing is visible before the commit, and all of it after', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    const record = stageImage(transaction, { layers, name: 'docker.io/library/x:y' })
    for (const folder of ['objects', 'layers', 'images', 'blobs', 'records', 'refs'])
      assert.deepEqual(filesBelow(`${store.root}/${folder}`), [])
    assert.throws(() => store.find('docker.io/library/x:y'), code('NOT_FOUND'))
    await transaction.commit()
    assert.deepEqual(store.find('docker.io/library/x:y').record, record)
    assert.deepEqual(readFileSync(objectPath(store.root, object)), bytes)
    assert.equal(statSync(objectPath(store.root, object)).mode & 0o777, 0o444)
    assert.deepEqual(store.refs(), ['docker.io/library/x:y'])
    assert.deepEqual(readdirSync(`${store.root}/tmp`), [])
    assert.deepEqual([(await store.fsck({ rebuild: true })).damage], [[]])
    await assert.rejects(transaction.commit(), code('USAGE'))
  })

  test('one that is not committed leaves nothing behind', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    {
      await using transaction = await store.begin()
      stageImage(transaction, { layers, name: 'x' })
    }
    assert.deepEqual(filesBelow(store.root).toSorted(), ['lock', 'store.json'])
  })

  test('two lanes that stage the same object both succeed', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using a = transaction.staging('a')
    using b = transaction.staging('b')
    assert.equal(a.has(object), false)
    assert.equal(b.has(object), false)
    assert.equal(a.stage(object, bytes), true)
    assert.equal(b.stage(object, bytes), false)
    assert.equal(b.has(object), true)
    const streamed = b.openFile()
    streamed.write(bytes.subarray(0, 1000))
    streamed.write(bytes.subarray(1000))
    streamed.finish(object)
    await transaction.commit()
    assert.deepEqual(readFileSync(objectPath(store.root, object)), bytes)
  })

  test('a streamed object may have holes, at its end too, and may be dropped', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    const whole = Buffer.concat([Buffer.alloc(70_000), bytes, Buffer.alloc(1_000_000)])
    const sparse = staging.openFile()
    sparse.hole(70_000)
    sparse.write(bytes)
    sparse.hole(1_000_000)
    sparse.finish(verityDigest(whole))
    const dropped = staging.openFile()
    dropped.write(bytes)
    dropped.drop()
    await transaction.commit()
    assert.deepEqual(readFileSync(objectPath(store.root, verityDigest(whole))), whole)
    assert.ok(statSync(objectPath(store.root, verityDigest(whole))).blocks * 512 < 100_000)
    assert.ok(!existsSync(objectPath(store.root, object)))
  })

  test('an object of the store keeps its file', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using first = await store.begin()
    await using second = await store.begin()
    for (const [transaction, name] of [
      [first, 'one'],
      [second, 'two'],
    ] as const)
      stageImage(transaction, { layers, name })
    await first.commit()
    const { ino } = statSync(objectPath(store.root, object))
    await second.commit()
    assert.equal(statSync(objectPath(store.root, object)).ino, ino)
    assert.deepEqual(store.refs(), ['one', 'two'])
  })

  test('a lane that fails makes the commit fail', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    stageImage(transaction, { layers, name: 'x' })
    rmSync(`${transaction.place('').folder}/files`, { recursive: true })
    assert.throws(() => staging.openFile(), code('NOT_FOUND'))
    await assert.rejects(transaction.commit(), code('IO'))
    assert.deepEqual(store.refs(), [])
  })

  test('names are set on conditions', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    const set = async (name: string, text: string, condition: 'any' | 'absent' | ReturnType<typeof digestOf>) => {
      await using transaction = await store.begin()
      const record = stageImage(transaction, { layers: [[file(text)]] })
      transaction.setRef(name, record.manifest, condition)
      await transaction.commit()
      return record.manifest.digest
    }
    const first = await set('x', 'one', 'absent')
    await assert.rejects(set('x', 'two', 'absent'), code('EXISTS'))
    assert.equal(store.ref('x')?.digest, first)
    const second = await set('x', 'two', first)
    await assert.rejects(set('x', 'three', first), code('EXISTS'))
    assert.equal(store.ref('x')?.digest, second)
    await set('x', 'three', 'any')
    await assert.rejects(set('y', 'three', first), code('EXISTS'))
    assert.deepEqual(store.refs(), ['x'])
    assert.deepEqual(readdirSync(`${store.root}/tmp`), [])
  })

  test('a record cannot name what is not there, nor a ref', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    {
      await using transaction = await store.begin()
      const record = stageImage(transaction, { layers })
      const [layer] = record.layers
      assert.ok(layer)
      transaction.putRecord({ ...record, layers: [{ ...layer, recipe: absent as RecipeDigest }] })
      await assert.rejects(transaction.commit(), code('BUSY'))
    }
    await using transaction = await store.begin()
    transaction.setRef('x', { mediaType: 'a/b', digest: digestOf('nothing'), size: 7 })
    await assert.rejects(transaction.commit(), code('BUSY'))
    assert.deepEqual(store.refs(), [])
  })

  test('blobs are checked against their digest', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    assert.throws(() => transaction.putBlob(digestOf('a'), Buffer.from('b')), code('DIGEST_MISMATCH'))
  })

  test('what is written back beside the staging is committed like the rest', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    transaction.startWriteback()
    stageImage(transaction, { layers, name: 'x' })
    await sleep(250)
    await transaction.commit()
    assert.deepEqual((await store.fsck()).damage, [])
    await using dropped = await store.begin()
    dropped.startWriteback()
  })

  test('waiting for the lock can be aborted', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    stageImage(transaction, { layers, name: 'x' })
    const { lockStore } = await import('../store-lock.ts')
    using _lock = await lockStore(store.root, 'exclusive')
    await assert.rejects(transaction.commit({ signal: AbortSignal.timeout(20) }), { name: 'AbortError' })
    assert.deepEqual(store.refs(), [])
  })
})

describe('layers that are known already', () => {
  test('are found by diffID and by blob, whatever becomes of the index', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    const index = `${store.root}/index.db`
    const damages: (() => void)[] = [
      () => {},
      () => rmSync(index),
      () => writeFileSync(index, 'not a database at all, but long enough to be looked at'.repeat(100)),
      () => writeFileSync(index, readFileSync(index).subarray(0, 5000)),
      () => writeFileSync(index, ''),
    ]
    await using first = await store.begin()
    const record = stageImage(first, { layers, name: 'x' })
    const [layer] = record.layers
    assert.ok(layer)
    assert.equal(await first.findLayer({ diffId: layer.diffId }), undefined)
    await first.commit()
    for (const damage of damages) {
      damage()
      await using transaction = await store.begin()
      assert.deepEqual(await transaction.findLayer({ diffId: layer.diffId }), layer)
      assert.deepEqual(await transaction.findLayer({ blob: layer.blob.digest }), layer)
    }
    rmSync(recipePath(store.root, layer.recipe))
    await using transaction = await store.begin()
    assert.equal(await transaction.findLayer({ diffId: layer.diffId }), undefined)
  })

  test('an index that says what no record says is not believed', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using first = await store.begin()
    const [layer] = stageImage(first, { layers, name: 'x' }).layers
    await first.commit()
    assert.ok(layer)
    await using transaction = await store.begin()
    assert.deepEqual(await transaction.findLayer({ diffId: layer.diffId }), layer)
    const { DatabaseSync } = await import('node:sqlite')
    const db = new DatabaseSync(`${store.root}/index.db`)
    const claimed = digestOf('another tar')
    db.prepare('UPDATE OR REPLACE layers SET key = ?').run(`diff ${claimed}`)
    db.close()
    assert.equal(await transaction.findLayer({ diffId: claimed as string as typeof layer.diffId }), undefined)
  })

  test('a layer whose diffID is only claimed is not shared', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    await using first = await store.begin()
    const record = stageImage(first, { layers })
    first.putRecord({ ...record, layers: record.layers.map((layer) => ({ ...layer, proof: 'toc-only' })) })
    first.setRef('x', record.manifest)
    await first.commit()
    const [layer] = record.layers
    assert.ok(layer)
    await using transaction = await store.begin()
    assert.equal(await transaction.findLayer({ diffId: layer.diffId }), undefined)
  })

  test('finished layers of a transaction that died are taken up, once they hash right', async () => {
    using place = scratch('store')
    await using store = await openStore(place.at('store'))
    const dead = `${store.root}/tmp/00000000000000aa`
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    const [good, bad] = [stageLayer(staging, layers[0] ?? []), stageLayer(staging, [file('c', Buffer.alloc(900, 'c'))])]
    for (const layer of [good, bad]) transaction.noteLayer(layer)
    const { cpSync } = await import('node:fs')
    cpSync(transaction.place('').folder, dead, { recursive: true })
    rmSync(`${dead}/lock`)
    // As after a power cut: the name is there, the bytes are not.
    const torn = objectPath(dead, verityDigest(Buffer.alloc(900, 'c')))
    rmSync(torn)
    writeFileSync(torn, '')
    mkdirSync(`${store.root}/tmp/00000000000000bb`)
    await using next = await store.begin()
    assert.deepEqual(readdirSync(`${store.root}/tmp`).length, 2)
    assert.deepEqual(await next.findLayer({ diffId: good.diffId }), good)
    assert.equal(await next.findLayer({ diffId: bad.diffId }), undefined)
    stageImage(next, { layers, name: 'x' })
    await next.commit()
    assert.deepEqual((await store.fsck()).damage, [])
  })
})
