import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { file } from '../../../test/images.ts'
import { scratch } from '../../../test/scratch.ts'
import { stageImage } from '../../../test/store-image.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/digest.ts'
import { blobPath, imagePath, objectPath, recipePath, recordPath } from '../layout.ts'
import type { ImageRecord } from '../record.ts'
import type { Damage } from './report.ts'
import { formatRef } from '../refs.ts'
import { type Store, openStore } from '../store.ts'

const bytes = Buffer.alloc(5000, 'bytes of a file. ')
const object = verityDigest(bytes)
const other = Buffer.alloc(500, 'bytes of another. ')

interface Sample {
  readonly root: string
  readonly one: ImageRecord
  readonly image: NonNullable<ImageRecord['images']['default']>
  readonly recipe: ImageRecord['layers'][number]['recipe']
}

async function makeSample(store: Store): Promise<Sample> {
  await using transaction = await store.begin()
  const one = stageImage(transaction, { layers: [[file('a', bytes)], [file('b', other)]], name: 'one' })
  stageImage(transaction, { layers: [[file('b', other)]], name: 'two' })
  transaction.setRef('uno', one.manifest)
  await transaction.commit()
  const [layer] = one.layers
  assert.ok(layer && one.images.default)
  return { root: store.root, one, image: one.images.default, recipe: layer.recipe }
}

function edit(path: string, change: (good: Buffer) => Uint8Array): void {
  const good = readFileSync(path)
  chmodSync(path, 0o644)
  writeFileSync(path, change(good))
  chmodSync(path, path.includes('/objects/') || path.includes('/images/') ? 0o444 : 0o644)
}

const flip = (good: Buffer): Buffer => {
  const bad = Buffer.from(good)
  bad[20] = (bad[20] ?? 0) ^ 1
  return bad
}
const cut = (good: Buffer): Buffer => good.subarray(0, -9)

type Case = [what: string, damage: (sample: Sample) => void, expected: (sample: Sample) => Partial<Damage>[]]
const both = ['one', 'uno']

const cases: Case[] = [
  ['nothing', () => {}, () => []],
  [
    'an object with a flipped bit',
    ({ root }) => edit(objectPath(root, object), flip),
    () => [{ kind: 'object', name: object, images: both }],
  ],
  [
    'an object that is empty, as after a power cut',
    ({ root }) => edit(objectPath(root, object), () => Buffer.alloc(0)),
    () => [{ kind: 'object', name: object, images: both }],
  ],
  [
    'a missing object of two images',
    ({ root }) => rmSync(objectPath(root, verityDigest(other))),
    () => [{ kind: 'object', name: verityDigest(other), problem: 'it is missing', images: ['one', 'two', 'uno'] }],
  ],
  [
    'an object that can be written to',
    ({ root }) => chmodSync(objectPath(root, object), 0o644),
    () => [
      { kind: 'object', name: object, problem: 'its mode is 0644, expected 0444', state: 'exposed', images: both },
    ],
  ],
  [
    'a symlink in place of an object',
    ({ root }) => {
      renameSync(objectPath(root, object), `${root}/objects/elsewhere`)
      symlinkSync(`${root}/objects/elsewhere`, objectPath(root, object))
    },
    () => [{ kind: 'object', problem: 'it is not a regular file' }],
  ],
  [
    'a recipe with a flipped bit',
    ({ root, recipe }) => edit(recipePath(root, recipe), flip),
    ({ recipe }) => [{ kind: 'recipe', name: recipe, images: both }],
  ],
  [
    'a missing recipe',
    ({ root, recipe }) => rmSync(recipePath(root, recipe)),
    ({ recipe }) => [{ kind: 'recipe', name: recipe, images: both }],
  ],
  [
    'a damaged composefs image',
    ({ root, image }) => edit(imagePath(root, image), flip),
    ({ image }) => [{ kind: 'image', name: image, images: both }],
  ],
  ['a missing composefs image, which is a cache', ({ root, image }) => rmSync(imagePath(root, image)), () => []],
  [
    'a damaged config',
    ({ root, one }) => edit(blobPath(root, one.config.digest), flip),
    ({ one }) => [{ kind: 'blob', name: one.config.digest, images: both }],
  ],
  [
    'a missing manifest',
    ({ root, one }) => rmSync(blobPath(root, one.manifest.digest)),
    ({ one }) => [{ kind: 'blob', name: one.manifest.digest, images: both }],
  ],
  [
    'a damaged record',
    ({ root, one }) => edit(recordPath(root, one.manifest.digest), cut),
    ({ one }) => [
      { kind: 'record', name: one.manifest.digest },
      { kind: 'ref', name: 'one' },
      { kind: 'ref', name: 'uno' },
    ],
  ],
  ['a damaged ref', ({ root }) => edit(`${root}/refs/uno`, cut), () => [{ kind: 'ref', name: 'uno' }]],
  [
    'a ref to nowhere',
    ({ root }) => writeFileSync(`${root}/refs/lost`, formatRef({ mediaType: 'a', digest: digestOf(''), size: 0 })),
    () => [
      { kind: 'blob', name: digestOf(''), problem: 'it is missing', images: ['lost'] },
      { kind: 'ref', name: 'lost' },
    ],
  ],
  [
    'a pipe in place of a ref',
    ({ root }) => execFileSync('mkfifo', [`${root}/refs/pipe`]),
    () => [{ kind: 'ref', name: 'pipe' }],
  ],
  ['a root that others can write to', ({ root }) => chmodSync(root, 0o777), () => [{ kind: 'store' }]],
]

describe('fsck finds', () => {
  for (const [what, damage, expected] of cases)
    test(what, async () => {
      using place = scratch('fsck')
      await using store = await openStore(place.at('store'))
      const sample = await makeSample(store)
      damage(sample)
      const report = await store.fsck()
      const wanted = expected(sample)
      const shown = report.damage.map((found, i) =>
        Object.fromEntries(Object.entries(found).filter(([key]) => key in (wanted[i] ?? {}))),
      )
      assert.deepEqual(shown, wanted)
      assert.equal(report.clean, wanted.length === 0)
    })

  test('strays, which are no damage', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    await makeSample(store)
    const strays = [
      'blobs/sha256/short',
      'blobs/x',
      'images/x',
      'junk',
      'layers/..x',
      'objects/ab',
      'records/x',
      'refs/.x',
      'tmp/x',
    ]
    rmSync(`${store.root}/objects/ab`, { recursive: true, force: true })
    for (const name of strays) writeFileSync(`${store.root}/${name}`, '')
    const report = await store.fsck()
    assert.deepEqual(report.strays, strays)
    assert.ok(report.clean)
    assert.deepEqual(report.checked, {
      objects: 2,
      objectBytes: 5500,
      hashed: 2,
      recipes: 2,
      images: 2,
      blobs: 4,
      records: 2,
      refs: 3,
      mounts: 0,
    })
  })

  test('a tar that cannot be built again, when told to try', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    const { recipe, one } = await makeSample(store)
    assert.ok((await store.fsck({ rebuild: true })).clean)
    const [layer] = one.layers
    assert.equal(digestOf(Buffer.concat([...store.rebuildTar(recipe)])), layer?.diffId)
  })
})

test('fsck and gc keep out of each other’s way', async () => {
  using place = scratch('fsck')
  await using store = await openStore(place.at('store'))
  await makeSample(store)
  const checking = store.fsck()
  await assert.rejects(store.gc(), (error) => hasCode(error, 'BUSY'))
  assert.ok((await checking).clean)
  await assert.rejects(store.fsck({ signal: AbortSignal.abort() }), { name: 'AbortError' })
})
