import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { needsVerity } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { openStore } from '../store.ts'
import { isSealed } from './seal-files.ts'

const withVerity = needsVerity() === false ? 'files can be sealed here' : false

/** What a file system with fs-verity does is tested in test/verity.test.ts. */
describe('the setting', () => {
  test('is auto in a new store, and in one that says nothing', async () => {
    using place = scratch('verity')
    await using store = await openStore(place.at('store'))
    assert.equal(store.verity, 'auto')
    const path = place.at('store/store.json')
    const { verity: _, ...older } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
    writeFileSync(path, JSON.stringify(older))
    assert.equal(store.verity, 'auto')
  })

  test('changes and stays, and leaves nothing else behind', async () => {
    using place = scratch('verity')
    await using store = await openStore(place.at('store'))
    assert.deepEqual(await store.setVerity('off'), { sealed: 0, already: 0, able: needsVerity() === false })
    assert.equal(store.verity, 'off')
    await using again = await openStore(store.root)
    assert.equal(again.verity, 'off')
    assert.deepEqual(readdirSync(place.at('store/tmp')), [])
  })

  test('that is none of ours is refused', async () => {
    using place = scratch('verity')
    await using store = await openStore(place.at('store'))
    const path = place.at('store/store.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('auto', 'maybe'))
    await assert.rejects(openStore(store.root), { code: 'BAD_FORMAT', message: /verity is "maybe", expected auto/ })
  })
})

test('require is refused where it cannot be had, and changes nothing', { skip: withVerity }, async () => {
  using place = scratch('verity')
  await using store = await openStore(place.at('store'))
  {
    await using transaction = await store.begin()
    const { images } = stageImage(transaction, { layers: [[file('etc/name', 'x'.repeat(100))]], name: 'app' })
    await transaction.commit()
    assert.equal(isSealed(store.imagePath(images.default ?? assert.fail())), false)
  }
  await assert.rejects(store.setVerity('require'), { code: 'UNSUPPORTED', message: /has no fs-verity here/ })
  assert.equal(store.verity, 'auto')
  assert.equal((await store.fsck()).clean, true)
})

test(
  'a store that came to a file system without fs-verity takes nothing, and says so',
  { skip: withVerity },
  async () => {
    using place = scratch('verity')
    await using store = await openStore(place.at('store'))
    const path = place.at('store/store.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('auto', 'require'))
    await using transaction = await store.begin()
    stageImage(transaction, { layers: [[file('etc/name', 'x'.repeat(100))]], name: 'app' })
    await assert.rejects(transaction.commit(), { code: 'UNSUPPORTED', hint: /onefold store --verity auto/ })
    assert.deepEqual(store.refs(), [])
  },
)
