import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { describe, test } from 'node:test'
import { LayoutBuilder, file, makeImage } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { tocImage } from '../../../test/fixtures/toc-images.ts'
import { openSource } from '../../sources/open-source.ts'
import { objectPath } from '../../store/store-layout.ts'
import { type Store, openStore } from '../../store/store.ts'
import { readRecipe } from '../../recipe/recipe.ts'
import { planPull } from './plan-pull.ts'
import { type PullOptions, pull } from './pull.ts'

const big = Buffer.alloc(100_000, 'a file that needs an object of its own. ')

/** How many layers the plan says will be fetched, and how many a pull with the same options then fetches. */
async function plannedAndPulled(store: Store, name: string, options: PullOptions = {}): Promise<[number, number]> {
  await using source = await openSource(name)
  const { images } = await planPull(store, source, options)
  const layers = images.flatMap((image) => image.layers)
  const { stats } = await pull(store, source, options)
  return [layers.filter(({ how }) => how !== 'present').length, stats.layersPulled]
}

describe('a plan is what the pull does', () => {
  test('of an image that is new, there, and there under another name', async () => {
    using place = scratch('plan')
    using image = makeImage({ layers: [[file('a', big)], [file('b', 'x')]] })
    await using store = await openStore(place.at('store'))
    assert.deepEqual(await plannedAndPulled(store, image.name), [2, 2])
    assert.deepEqual(await plannedAndPulled(store, image.name), [0, 0])
    assert.deepEqual(await plannedAndPulled(store, image.name, { name: 'other' }), [0, 0])
  })

  test('after an object was lost and the loss was noted', async () => {
    using place = scratch('plan')
    using image = makeImage({ layers: [[file('a', big)], [file('b', 'x')]] })
    await using store = await openStore(place.at('store'))
    await plannedAndPulled(store, image.name)
    const [layer] = store.find(image.name).record.layers
    const [lost] = [...readRecipe(store.recipe(layer!.recipe)).objects()]
    rmSync(objectPath(store.root, lost!.digest))
    await store.fsck()
    await using source = await openSource(image.name)
    const { images, total } = await planPull(store, source)
    assert.deepEqual(
      images[0]?.layers.map(({ how }) => how),
      ['whole', 'present'],
    )
    assert.ok(total.fetchBytes > 0)
    assert.deepEqual(await plannedAndPulled(store, image.name), [1, 1])
    assert.deepEqual(await plannedAndPulled(store, image.name), [0, 0])
  })

  test('of a layer that stands twice in an image', async () => {
    using place = scratch('plan')
    const layer = [file('a', big)]
    using image = makeImage({ layers: [layer, [file('b', 'x')], layer] })
    await using store = await openStore(place.at('store'))
    await using source = await openSource(image.name)
    const { images } = await planPull(store, source)
    assert.deepEqual(
      images[0]?.layers.map(({ how, why }) => [how, why.startsWith('it is in the image')]),
      [
        ['whole', false],
        ['whole', false],
        ['present', true],
      ],
    )
    assert.deepEqual(await plannedAndPulled(store, image.name), [2, 2])
  })

  test('of layers that two platforms share', async () => {
    using place = scratch('plan')
    const layout = new LayoutBuilder(place.at('layout'))
    const shared = [file('a', big)]
    const platforms = ['amd64', 'arm64'].map((architecture) =>
      layout.image({ layers: [shared, [file('b', architecture)]], platform: { os: 'linux', architecture } }),
    )
    layout.tag(layout.index(...platforms.map(({ manifest }) => manifest)), 'app')
    await using store = await openStore(place.at('store'))
    assert.deepEqual(await plannedAndPulled(store, `oci:${layout.folder}:app`, { allPlatforms: true }), [3, 3])
  })

  test('of layers that are only believed', async () => {
    using place = scratch('plan')
    const layout = new LayoutBuilder(place.at('layout'))
    const { manifest } = await tocImage(layout, 'estargz', [[file('a', big), file('b', 'x')]])
    layout.tag(manifest, 'app')
    const name = `oci:${layout.folder}:app`
    await using store = await openStore(place.at('store'))
    assert.deepEqual(await plannedAndPulled(store, name, { partial: 'always' }), [1, 1])
    assert.equal(store.find(name).record.layers[0]?.proof, 'toc-only')
    assert.deepEqual(await plannedAndPulled(store, name), [0, 0])
    assert.deepEqual(await plannedAndPulled(store, name, { name: 'proven', partial: 'never' }), [1, 1])
    assert.equal(store.find(name).record.layers[0]?.proof, 'proven')
  })
})
