import assert from 'node:assert/strict'
import { closeSync, existsSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { imagePath, objectPath, recipePath, recordPath } from '../store-layout.ts'
import { type Store, openStore } from '../store.ts'
import { readGeneration } from '../transaction/commit-transaction.ts'
import { Freed } from './freed.ts'
import type { GarbageObjects } from './garbage-objects.ts'
import { GarbageSearch } from './garbage-search.ts'
import { Marks } from './marks.ts'
import { Sweep } from './sweep.ts'

const bodies = Array.from({ length: 100 }, (_, n) => Buffer.alloc(1000 + n, `body ${n}. `))
const [first = Buffer.alloc(0), second = Buffer.alloc(0)] = bodies
const layers = [bodies.map((body, n) => file(`f${n}`, body))]

interface Planned {
  readonly sweep: Sweep
  readonly objects: GarbageObjects
  readonly freed: Freed
}

async function plan({ root }: Store): Promise<Planned> {
  const marks = new Marks(root)
  const search = new GarbageSearch(root, marks, undefined)
  search.mark()
  const freed = new Freed()
  const { objects } = await search.plan(undefined)
  return { sweep: new Sweep({ root, marks, search, objects, freed }), objects, freed }
}

async function add(store: Store, name: string, image = layers): Promise<ImageRecord> {
  await using transaction = await store.begin()
  const record = stageImage(transaction, { layers: image, name })
  await transaction.commit()
  return record
}

async function garbageStore(place: { at(name: string): string }): Promise<{ store: Store; record: ImageRecord }> {
  const store = await openStore(place.at('store'))
  const record = await add(store, 'one')
  await store.remove('one')
  return { store, record }
}

function has(store: Store, body: Buffer): boolean {
  return existsSync(objectPath(store.root, verityDigest(body)))
}

const forever = Number.POSITIVE_INFINITY

describe('a sweep', () => {
  test('deletes what was planned, and folders that are empty then', async () => {
    using place = scratch('sweep')
    const { store, record } = await garbageStore(place)
    const { sweep, objects, freed } = await plan(store)
    assert.equal(objects.length, bodies.length)
    const generation = readGeneration(store.root)
    sweep.begin()
    assert.notEqual(readGeneration(store.root), generation)
    assert.equal(sweep.small(), true)
    assert.equal(existsSync(recordPath(store.root, record.manifest.digest)), false)
    assert.equal(sweep.objects(forever), true)
    assert.deepEqual(readdirSync(store.objectsPath), [])
    const bytes = bodies.reduce((sum, { length }) => sum + length, 0)
    assert.deepEqual(freed.report.objects, { count: bodies.length, bytes })
    assert.deepEqual([freed.report.records.count, freed.report.recipes.count, freed.report.images.count], [1, 1, 1])
    assert.equal(sweep.small(), false)
  })

  test('ends in time, and goes on in the next slice', async () => {
    using place = scratch('sweep')
    const { store } = await garbageStore(place)
    const { sweep, objects } = await plan(store)
    sweep.begin()
    sweep.small()
    assert.equal(sweep.objects(0), false)
    assert.equal(objects.length, bodies.length)
    sweep.end()
    sweep.begin()
    sweep.small()
    assert.equal(sweep.objects(forever), true)
    assert.deepEqual(readdirSync(store.objectsPath), [])
  })

  test('passes over what is needed since the plan was made', async () => {
    using place = scratch('sweep')
    const { store } = await garbageStore(place)
    const { sweep, freed } = await plan(store)
    await add(store, 'again', [[file('first', first)]])
    sweep.begin()
    sweep.small()
    assert.equal(sweep.objects(forever), true)
    assert.deepEqual([has(store, first), has(store, second)], [true, false])
    assert.equal(freed.report.objects.count, bodies.length - 1)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
  })

  test('deletes recipes that became garbage since, before their objects', async () => {
    using place = scratch('sweep')
    const { store } = await garbageStore(place)
    const { sweep } = await plan(store)
    const since = await add(store, 'since', [[file('first', first), file('more', Buffer.alloc(3000, 'new. '))]])
    await store.remove('since')
    sweep.begin()
    sweep.small()
    for (const { recipe } of since.layers) assert.equal(existsSync(recipePath(store.root, recipe)), false)
    sweep.objects(forever)
    // What was no garbage when the plan was made is left to the next collection.
    assert.deepEqual(readdirSync(store.objectsPath).length, 1)
    assert.equal((await store.gc()).objects.count, 1)
  })

  test('puts back what a living transaction has come to hold, and does not count it', async () => {
    using place = scratch('sweep')
    const { store } = await garbageStore(place)
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    const { sweep, freed } = await plan(store)
    sweep.begin()
    sweep.small()
    // After everything was marked: only the look at the holds that comes before a handful is deleted can see this.
    staging.hold([verityDigest(first)])
    assert.equal(sweep.objects(forever), true)
    assert.deepEqual([has(store, first), has(store, second)], [true, false])
    assert.equal(freed.report.objects.count, bodies.length - 1)
    assert.deepEqual(readdirSync(`${store.root}/tmp`).length, 1)
  })

  test('puts back an image that somebody has opened, and keeps its objects', async () => {
    using place = scratch('sweep')
    const { store, record } = await garbageStore(place)
    const image = imagePath(store.root, record.images.default ?? assert.fail('it has no image'))
    const { sweep, freed } = await plan(store)
    sweep.begin()
    const mounted = openSync(image, 'r')
    try {
      sweep.small()
      sweep.objects(forever)
    } finally {
      closeSync(mounted)
    }
    assert.ok(existsSync(image) && bodies.every((body) => has(store, body)))
    assert.deepEqual([freed.report.images.count, freed.report.objects.count, freed.report.records.count], [0, 0, 1])
  })

  for (const isAlone of [true, false])
    test(`does not mind what has gone meanwhile, ${isAlone ? 'alone' : 'beside a transaction'}`, async () => {
      using place = scratch('sweep')
      const { store } = await garbageStore(place)
      await using _transaction = isAlone ? undefined : await store.begin()
      const { sweep, freed } = await plan(store)
      rmSync(objectPath(store.root, verityDigest(first)))
      sweep.begin()
      sweep.small()
      assert.equal(sweep.objects(forever), true)
      assert.equal(freed.report.objects.count, bodies.length - 1)
    })

  test('removes what killed tag commands have left', async () => {
    using place = scratch('sweep')
    const { store } = await garbageStore(place)
    const { sweep } = await plan(store)
    writeFileSync(`${store.root}/tmp/ref-1`, '')
    sweep.begin()
    assert.deepEqual(readdirSync(`${store.root}/tmp`), [])
  })
})
