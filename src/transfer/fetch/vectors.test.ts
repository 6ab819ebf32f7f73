import assert from 'node:assert/strict'
import { cpSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { vectors, withoutVectors } from '../../../test/vectors.ts'
import { openSource } from '../../sources/open-source.ts'
import { type Store, openStore } from '../../store/store.ts'
import { type PullOptions, type PullResult, pull } from '../pull/pull.ts'

const layout = vectors('one-tree/oci') ?? ''

async function pullTag(store: Store, tag: string, options: PullOptions = {}): Promise<PullResult> {
  await using source = await openSource(`oci:${layout}:${tag}`)
  return await pull(store, source, { name: tag, ...options })
}

/** These have the diffIDs of the plain image: beside it they are there already. */
const likeGz: readonly string[] = ['gz', 'soci2', 'estargz-ext-keepdiff']

describe('the one tree of all tools, by parts', { skip: withoutVectors('one-tree') }, () => {
  const plain = scratch('parts-plain')
  let image: string | undefined
  before(async () => {
    await using store = await openStore(plain.at('store'))
    const { images } = await pullTag(store, 'gz')
    image = images[0]?.image
  })
  after(() => plain[Symbol.dispose]())

  for (const [tag, proof] of [
    ['skopeo-zstd-chunked', 'proven'],
    ['estargz', 'toc-only'],
    ['estargz-chunk64k', 'toc-only'],
    ['estargz-min512k', 'toc-only'],
    ['stargz-zstdchunked', 'toc-only'],
    ['estargz-ext', 'toc-only'],
    ['estargz-ext-keepdiff', 'toc-only'],
    ['soci2', 'toc-only'],
    ['gz', 'toc-only'],
  ] as const)
    for (const first of likeGz.includes(tag) ? [undefined] : [undefined, 'gz'])
      test(`${tag} ${first === undefined ? 'into an empty store' : `beside ${first}`}`, async () => {
        using place = scratch('parts')
        if (first !== undefined) cpSync(plain.at('store'), place.at('store'), { recursive: true })
        await using store = await openStore(place.at('store'))
        const got = await pullTag(store, tag, { partial: 'always' })
        assert.equal(got.images[0]?.image, image)
        const { record } = store.find(tag)
        assert.deepEqual(
          record.layers.map((layer) => layer.proof),
          [proof, proof],
        )
        // All are one tree: beside the plain image, all but the tables is there.
        if (first !== undefined) assert.equal(got.stats.newObjects, 0)
      })
})
