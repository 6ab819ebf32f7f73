import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type TestEntry, file } from '../../../test/fixtures/images.ts'
import { noise } from '../../../test/servers/registry.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { type Digest, type VerityDigest, digestOf } from '../../digest.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { type Contents, type WantedChunks, openContents } from './held-contents.ts'
import { objectPath } from '../store-layout.ts'
import { openStore } from '../store.ts'

const large = noise(400_000)
const fixed = { kind: 'fixed', size: 64 * 1024 } as const
const tiny = Buffer.from('in the recipe')

async function add(root: string, name: string, entries: readonly TestEntry[]): Promise<void> {
  await using store = await openStore(root)
  await using transaction = await store.begin()
  stageImage(transaction, { layers: [entries], name })
  await transaction.commit()
}

/** Asks for files by what is in them; `held` hears what was held. */
async function ask(contents: Contents, bodies: readonly Uint8Array[], held: VerityDigest[] = []): Promise<Digest[]> {
  const wanted = new Map(bodies.map((body) => [digestOf(body), body.length]))
  const found = await contents.files(wanted, { hold: (objects) => held.push(...objects) })
  return [...wanted.keys()].filter((digest) => found.has(digest))
}

describe('what the store holds by other names', () => {
  test('files by sha256, also those that are in recipes alone', async () => {
    using place = scratch('contents')
    await add(place.path, 'app', [file('large', large), file('usr/tiny', tiny)])
    using contents = await openContents(place.path)
    const held: VerityDigest[] = []
    const missing = noise(400_000, 2)
    assert.deepEqual(await ask(contents, [large, tiny, missing], held), [digestOf(large), digestOf(tiny)])
    assert.ok(held.includes(verityDigest(large)))
    // The same sha256 with another size is a lie.
    const lie = new Map([[digestOf(large), large.length + 1]])
    assert.equal((await contents.files(lie, { hold: () => {} })).size, 0)
  })

  test('files of images that came after the index was made', async () => {
    using place = scratch('contents')
    await add(place.path, 'app', [file('a', large)])
    using contents = await openContents(place.path)
    assert.deepEqual(await ask(contents, [large]), [digestOf(large)])
    const later = noise(5000, 3)
    await add(place.path, 'later', [file('b', later)])
    assert.deepEqual(await ask(contents, [later]), [digestOf(later)])
  })

  test('no object that has gone since', async () => {
    using place = scratch('contents')
    await add(place.path, 'app', [file('large', large), file('other', noise(5000))])
    using contents = await openContents(place.path)
    await ask(contents, [large])
    rmSync(objectPath(place.path, verityDigest(large)))
    const held: VerityDigest[] = []
    assert.deepEqual(await ask(contents, [large], held), [])
    assert.deepEqual(held, [])
  })

  test('chunks of another version under the same path, or the same name', async () => {
    using place = scratch('contents')
    await add(place.path, 'app', [file('usr/bin/program', large), file('unrelated', noise(300_000, 9))])
    using contents = await openContents(place.path)
    await ask(contents, [])
    const chunk = large.subarray(2 * fixed.size, 3 * fixed.size)
    const unrelated = noise(300_000, 9).subarray(0, fixed.size)
    for (const path of ['usr/bin/program', 'opt/program']) {
      const wanted: WantedChunks[] = [{ path, size: large.length, digests: [digestOf(chunk), digestOf(unrelated)] }]
      const found = await contents.chunks(wanted, fixed, { hold: () => {} })
      const place = { object: verityDigest(large), offset: 2 * fixed.size, length: fixed.size }
      assert.deepEqual([...found], [[digestOf(chunk), place]])
    }
    const elsewhere: WantedChunks[] = [{ path: 'elsewhere', size: large.length, digests: [digestOf(chunk)] }]
    // It was cut before, so it is found whoever asks; in another scheme it has not been cut at all.
    assert.equal((await contents.chunks(elsewhere, fixed, { hold: () => {} })).size, 1)
    assert.equal((await contents.chunks(elsewhere, { kind: 'fixed', size: 1000 }, { hold: () => {} })).size, 0)
    assert.equal((await contents.chunks(elsewhere, { kind: 'none' }, { hold: () => {} })).size, 0)
  })

  test('nothing of a row that was found to be wrong, until the object is looked at again', async () => {
    using place = scratch('contents')
    await add(place.path, 'app', [file('large', large)])
    using contents = await openContents(place.path)
    const other = noise(large.length, 7)
    await ask(contents, [])
    contents.learn([[digestOf(other), verityDigest(large), large.length]])
    assert.deepEqual(await ask(contents, [other]), [digestOf(other)])
    contents.forget([verityDigest(large)])
    assert.deepEqual(await ask(contents, [other, large]), [digestOf(large)])
  })

  for (const [name, damage] of [
    ['garbage', (path: string) => writeFileSync(path, noise(9000))],
    ['gone', (path: string) => rmSync(path)],
  ] as const)
    test(`the same, when the index is ${name}`, async () => {
      using place = scratch('contents')
      await add(place.path, 'app', [file('large', large)])
      {
        using contents = await openContents(place.path)
        await ask(contents, [large])
      }
      damage(place.at('index.db'))
      using contents = await openContents(place.path)
      assert.deepEqual(await ask(contents, [large]), [digestOf(large)])
    })
})
