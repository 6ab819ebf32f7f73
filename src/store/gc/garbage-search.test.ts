import assert from 'node:assert/strict'
import { existsSync, linkSync, lstatSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { imagePath, objectPath, recordPath } from '../store-layout.ts'
import { type Store, openStore } from '../store.ts'
import type { GarbageFiles } from './garbage-file.ts'
import { GarbageSearch } from './garbage-search.ts'
import { Marks } from './marks.ts'

const shared = Buffer.alloc(5000, 'in both images. ')
const alone = Buffer.alloc(700, 'in one image. ')

/** Two images, of which one has lost its name. */
async function twoImages(store: Store): Promise<{ readonly kept: ImageRecord; readonly lost: ImageRecord }> {
  await using transaction = await store.begin()
  const kept = stageImage(transaction, { layers: [[file('shared', shared)]], name: 'kept' })
  const lost = stageImage(transaction, { layers: [[file('shared', shared)], [file('a', alone)]], name: 'lost' })
  await transaction.commit()
  await store.remove('lost')
  return { kept, lost }
}

function searchOf(store: Store, keptSince?: number): GarbageSearch {
  const search = new GarbageSearch(store.root, new Marks(store.root), keptSince)
  search.mark()
  return search
}

function digestsOf(files: GarbageFiles): string[] {
  return [...files].map(({ digest }) => digest).toSorted()
}

test('a plan has every file that nothing needs, with its bytes, and changes nothing', async () => {
  using place = scratch('garbage')
  await using store = await openStore(place.at('store'))
  const { lost } = await twoImages(store)
  const plan = await searchOf(store).plan(undefined)
  assert.deepEqual(digestsOf(plan.records), [lost.manifest.digest])
  assert.deepEqual(digestsOf(plan.images), [lost.images.default])
  assert.deepEqual(digestsOf(plan.layers), [lost.layers[1]?.recipe])
  assert.deepEqual(digestsOf(plan.blobs), [lost.manifest.digest, lost.config.digest].toSorted())
  assert.deepEqual(digestsOf(plan.objects), [verityDigest(alone)])
  const [object] = plan.objects
  const path = objectPath(store.root, verityDigest(alone))
  assert.equal(object?.size, alone.length)
  assert.ok((object?.own ?? 0) >= lstatSync(path).blocks * 512)
  assert.ok(existsSync(path) && existsSync(recordPath(store.root, lost.manifest.digest)))
})

test('what has another name frees nothing', async () => {
  using place = scratch('garbage')
  await using store = await openStore(place.at('store'))
  await twoImages(store)
  linkSync(objectPath(store.root, verityDigest(alone)), place.at('link'))
  const [object] = (await searchOf(store).plan(undefined)).objects
  assert.deepEqual(object, { digest: verityDigest(alone), size: alone.length, own: 0, shared: [] })
})

test('names that are none of ours are no garbage', async () => {
  using place = scratch('garbage')
  await using store = await openStore(place.at('store'))
  await twoImages(store)
  const before = digestsOf(searchOf(store).find('records'))
  for (const name of ['records/stray', 'images/stray.erofs', 'layers/stray', 'blobs/stray', 'objects/stray'])
    writeFileSync(`${store.root}/${name}`, '')
  const plan = await searchOf(store).plan(undefined)
  assert.deepEqual(digestsOf(plan.records), before)
  assert.equal(plan.objects.length, 1)
})

test('what is young stays, with everything that it needs', async () => {
  using place = scratch('garbage')
  await using store = await openStore(place.at('store'))
  const { lost } = await twoImages(store)
  const hour = 3_600_000
  const old = new Date(Date.now() - 2 * hour)
  utimesSync(objectPath(store.root, verityDigest(alone)), old, old)
  const young = await searchOf(store, Date.now() - hour).plan(undefined)
  assert.deepEqual([young.records.length, young.images.length, young.objects.length], [0, 0, 0])
  // A young image alone keeps its objects as well.
  rmSync(recordPath(store.root, lost.manifest.digest))
  assert.equal((await searchOf(store, Date.now() - hour).plan(undefined)).objects.length, 0)
  const image = imagePath(store.root, lost.images.default ?? assert.fail('it has no image'))
  utimesSync(image, old, old)
  for (const { recipe } of lost.layers) utimesSync(`${store.root}/layers/${recipe}`, old, old)
  const plan = await searchOf(store, Date.now() - hour).plan(undefined)
  assert.deepEqual(digestsOf(plan.objects), [verityDigest(alone)])
})

test('a plan can be stopped', async () => {
  using place = scratch('garbage')
  await using store = await openStore(place.at('store'))
  await twoImages(store)
  await assert.rejects(searchOf(store).plan(AbortSignal.abort()), { name: 'AbortError' })
})
