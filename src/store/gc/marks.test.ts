import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage, testMount } from '../../../test/fixtures/store-image.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { writeIndex } from '../../formats/oci/manifest.ts'
import { mediaTypes } from '../../formats/oci/media-types.ts'
import { formatMountRecord, mountPath } from '../mount-record.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { blobPath, imagePath, recipePath, recordPath } from '../store-layout.ts'
import { type Store, openStore } from '../store.ts'
import { Marks, isInUse } from './marks.ts'

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

function markedIn(store: Store): Marks {
  const marks = new Marks(store.root)
  marks.markAll()
  return marks
}

/** What of an image is marked: its record, manifest, config, recipes, composefs image. */
function marksOf(marks: Marks, { manifest, config, layers, images }: ImageRecord): boolean[] {
  return [
    marks.has('records', manifest.digest),
    marks.has('blobs', manifest.digest),
    marks.has('blobs', config.digest),
    ...layers.map(({ recipe }) => marks.has('layers', recipe)),
    marks.has('images', images.default ?? ''),
  ]
}

function imageOf({ images }: ImageRecord) {
  return images.default ?? assert.fail('it has no image')
}

describe('marked is', () => {
  test('everything that a name leads to, and nothing else', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const [one, two] = [await add(store, 'one', oneLayers), await add(store, 'two', twoLayers)]
    await store.remove('one')
    const marks = markedIn(store)
    assert.deepEqual(marksOf(marks, two), [true, true, true, true, true])
    assert.deepEqual(marksOf(marks, one), [false, false, false, false, false, false])
    assert.equal(marks.has('objects', verityDigest(shared)), true)
    assert.equal(marks.has('objects', verityDigest(alone)), false)
  })

  test('what an index leads to, and the index itself', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', oneLayers)
    const absent = { ...one.manifest, digest: digestOf(Buffer.from('a platform that was never pulled')) }
    const bytes = writeIndex({ manifests: [one.manifest, absent] })
    {
      await using transaction = await store.begin()
      transaction.putBlob(digestOf(bytes), bytes)
      transaction.setRef('index', { mediaType: mediaTypes.index, digest: digestOf(bytes), size: bytes.length })
      await transaction.commit()
    }
    await store.remove('one')
    const marks = markedIn(store)
    assert.ok(marksOf(marks, one).every(Boolean))
    assert.ok(marks.has('blobs', digestOf(bytes)) && marks.has('objects', verityDigest(alone)))
  })

  test('what a living transaction holds, with what that leads to', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', oneLayers)
    await store.remove('one')
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    const marks = markedIn(store)
    staging.hold([verityDigest(shared)])
    assert.equal(marks.has('objects', verityDigest(shared)), false)
    marks.markHolds()
    assert.equal(marks.has('objects', verityDigest(shared)), true)
    const [, layer] = one.layers
    assert.ok(layer && staging.hasRecipe(layer.recipe))
    marks.markHolds()
    assert.equal(marks.has('layers', layer.recipe), true)
    marks.walk()
    assert.equal(marks.has('objects', verityDigest(alone)), true)
  })

  test('an image that is open, with its objects; of its record nothing', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', oneLayers)
    await store.remove('one')
    const path = imagePath(store.root, imageOf(one))
    assert.equal(isInUse(path), false)
    const fd = openSync(path, 'r')
    try {
      assert.equal(isInUse(path), true)
      const marks = markedIn(store)
      assert.deepEqual(marksOf(marks, one), [false, false, false, false, false, true])
      assert.ok(marks.has('objects', verityDigest(alone)) && marks.has('objects', verityDigest(shared)))
    } finally {
      closeSync(fd)
    }
    rmSync(path)
    assert.equal(isInUse(path), false)
  })

  test('the image below changes that were kept, with its record', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const one = await add(store, 'one', oneLayers)
    await store.remove('one')
    const id = '0123456789ab'
    mkdirSync(mountPath(store.root, id), { recursive: true })
    const mount = formatMountRecord({ ...testMount, id, image: imageOf(one), changes: '/x' })
    writeFileSync(`${mountPath(store.root, id)}/mount.json`, mount)
    const marks = markedIn(store)
    assert.ok(marksOf(marks, one).every(Boolean))
    assert.ok(marks.has('objects', verityDigest(alone)))
    const inUse = new Marks(store.root)
    inUse.markInUse()
    assert.ok(marksOf(inUse, one).every(Boolean), 'also without a look at names')
  })
})

test('a platform that is pulled, and a recipe that is made, after a first look are seen by the next', async () => {
  using place = scratch('marks')
  await using store = await openStore(place.at('store'))
  const marks = new Marks(store.root)
  {
    await using transaction = await store.begin()
    const record = stageImage(transaction, { layers: oneLayers, name: 'one' })
    // Its recipes are held, and not in the store yet.
    marks.markAll()
    for (const { recipe } of record.layers) assert.equal(marks.has('layers', recipe), true)
    await transaction.commit()
  }
  marks.markAll()
  assert.equal(marks.has('objects', verityDigest(shared)), true)
  // The same name stands for more, the next time.
  const { manifest } = await add(store, 'two', twoLayers)
  rmSync(recordPath(store.root, manifest.digest))
  const again = new Marks(store.root)
  again.markAll()
  assert.equal(again.has('records', manifest.digest), false)
  await add(store, 'two', twoLayers)
  again.markAll()
  assert.equal(again.has('records', manifest.digest), true)
})

describe('what is missing needs nothing, what cannot be read ends the collection', () => {
  const parts: readonly [what: string, path: (root: string, record: ImageRecord) => string][] = [
    ['a ref', (root) => `${root}/refs/one`],
    ['a record', (root, { manifest }) => recordPath(root, manifest.digest)],
    ['a recipe', (root, { layers }) => recipePath(root, layers[0]?.recipe ?? assert.fail('it has no layer'))],
  ]
  for (const [what, pathOf] of parts)
    test(what, async () => {
      using place = scratch('marks')
      await using store = await openStore(place.at('store'))
      const path = pathOf(store.root, await add(store, 'one', oneLayers))
      const good = readFileSync(path)
      writeFileSync(path, good.subarray(0, good.length - 5))
      assert.throws(
        () => markedIn(store),
        (error) => hasCode(error, 'CORRUPT') && error.hint?.includes('fsck') === true,
      )
      rmSync(path)
      assert.doesNotThrow(() => markedIn(store))
    })

  test('an index', async () => {
    using place = scratch('marks')
    await using store = await openStore(place.at('store'))
    const { manifest } = await add(store, 'one', oneLayers)
    const path = blobPath(store.root, manifest.digest)
    // Without its record, the manifest is a document that could be an index.
    rmSync(recordPath(store.root, manifest.digest))
    writeFileSync(path, 'no document')
    assert.throws(
      () => markedIn(store),
      (error) => hasCode(error, 'CORRUPT'),
    )
    rmSync(path)
    assert.equal(markedIn(store).has('objects', verityDigest(alone)), false)
  })
})
