import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { openSource } from '../src/sources/open.ts'
import { type Store, openStore } from '../src/store/store.ts'
import { convertImage } from '../src/transfer/convert/convert.ts'
import type { ConvertFormat, ConvertOptions } from '../src/transfer/convert/options.ts'
import { obtain } from '../src/transfer/obtain.ts'
import { pull } from '../src/transfer/pull.ts'
import { type EncodedTrees, encodeTrees } from './encodings.ts'
import { scratch } from './scratch.ts'
import { vectors, withoutVectors } from './vectors.ts'

const names = [
  'tar',
  'gzip',
  'gzip of many members',
  'one zstd frame',
  'many zstd frames',
  'zstd with a long window',
  'eStargz',
  'eStargz with small chunks',
  'eStargz with many chunks in a member',
  'eStargz with prefetched files',
  'eStargz with external tables',
  'eStargz that keeps diffIDs',
  'zstd:chunked',
  "stargz' zstd",
  "stargz' zstd that keeps diffIDs",
  'tar+gzip',
  'tar+zstd',
  'plain tar',
  ...['over', 'attached to'].flatMap((how) =>
    ['tar', 'gzip', 'gzip of many members', 'one zstd frame', 'many zstd frames', 'zstd with a long window'].map(
      (what) => `SOCI ${how} ${what}`,
    ),
  ),
]

interface Pulled {
  readonly image: string | undefined
  readonly objects: ReadonlySet<string>
  readonly diffIds: readonly string[]
  readonly proofs: readonly string[]
  readonly layersByParts: number
}

/** What is in a new store after a pull. */
async function pulled(name: string, partial: 'always' | 'never'): Promise<Pulled> {
  using place = scratch('encodings')
  await using store = await openStore(place.path)
  await using source = await openSource(name)
  const { stats } = await pull(store, source, { name: 'app', partial })
  const { record } = store.find('app')
  const objects = readdirSync(store.objectsPath, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.length > 3,
  )
  return {
    image: record.images.default,
    objects: new Set(objects),
    diffIds: record.layers.map(({ diffId }) => diffId),
    proofs: record.layers.map(({ proof }) => proof),
    layersByParts: stats.layersByParts,
  }
}

describe('one tree in every encoding', () => {
  const folder = scratch('encodings')
  let trees: EncodedTrees
  let want: Pulled

  before(async () => {
    await using store = await openStore(folder.at('store'))
    trees = await encodeTrees(folder.path, store)
    want = await pulled(trees.encodings[0]?.source ?? '', 'never')
    assert.deepEqual(want.diffIds, trees.diffIds)
  })
  after(() => folder[Symbol.dispose]())

  test('there are all of them', () => {
    assert.deepEqual(
      trees.encodings.map(({ name }) => name),
      names,
    )
  })

  for (const [i, name] of names.entries())
    test(`${name}: the same objects and image, whole and by parts`, async () => {
      const encoding = trees.encodings[i]
      assert.ok(encoding !== undefined)
      const whole = await pulled(encoding.source, 'never')
      assert.equal(whole.image, want.image)
      assert.deepEqual(whole.proofs, ['proven', 'proven'])
      // What eStargz keeps in the tar for itself is stored with it, and is not in the tree.
      const own = whole.objects.difference(want.objects)
      assert.equal(own.size, encoding.hasOwnFiles === true ? 2 : 0)
      assert.deepEqual(want.objects.difference(whole.objects), new Set())
      assert.equal(whole.diffIds.join() === want.diffIds.join(), encoding.keepsTar)
      if (encoding.byParts === undefined) return

      const parts = await pulled(encoding.source, 'always')
      assert.equal(parts.image, want.image)
      assert.deepEqual(parts.objects, want.objects)
      assert.equal(parts.layersByParts, 2)
      assert.deepEqual(parts.diffIds, whole.diffIds)
      assert.deepEqual(parts.proofs, [encoding.byParts, encoding.byParts])
    })
})

describe('the one tree of all tools, converted', { skip: withoutVectors('one-tree') }, () => {
  const folder = scratch('encodings')
  const layout = `oci:${vectors('one-tree/oci') ?? ''}`
  let store: Store

  before(async () => {
    store = await openStore(folder.at('store'))
    await obtain(store, `${layout}:gz`)
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  const cases: readonly (readonly [ConvertFormat, theirs: string, ConvertOptions])[] = [
    ['estargz', 'estargz', {}],
    ['estargz', 'estargz-chunk64k', { chunkSize: 65_536 }],
    ['estargz', 'estargz-min512k', { minChunkSize: 524_288 }],
    ['estargz', 'estargz-ext', { externalToc: true }],
    ['estargz', 'estargz-ext-keepdiff', { externalToc: true, keepDiffId: true }],
    ['stargz-zstd', 'stargz-zstdchunked', { chunkSize: 65_536 }],
    ['zstd-chunked', 'skopeo-zstd-chunked', {}],
  ]
  for (const [format, theirs, options] of cases)
    test(`${format} ${JSON.stringify(options)} is one tree with ${theirs}`, async () => {
      const ours = `oci:${folder.at('out')}:${theirs}`
      await convertImage(store, `${layout}:gz`, format, ours, options)
      const [here, there] = [await pulled(ours, 'always'), await pulled(`${layout}:${theirs}`, 'always')]
      assert.equal(here.image, there.image)
      assert.deepEqual(here.objects, there.objects)
      assert.deepEqual(here.proofs, there.proofs)
      assert.equal(
        here.diffIds.join() ===
          store
            .find(`${layout}:gz`)
            .record.layers.map(({ diffId }) => diffId)
            .join(),
        ['skopeo-zstd-chunked', 'estargz-ext-keepdiff'].includes(theirs),
      )
    })

  test('soci is what soci convert makes, to the byte', async () => {
    const options = { spanSize: 256 * 1024, minLayerSize: 0 }
    const { top } = await convertImage(store, `${layout}:gz`, 'soci', `oci:${folder.at('out')}:soci`, options)
    assert.equal(top, 'sha256:57457e38e24b8078abd69ebbe7514f5ca42ef342867df02233bb435b40419c53')
  })
})
