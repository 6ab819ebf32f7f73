import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename } from 'node:path'
import { describe, test } from 'node:test'
import { file } from '../../../test/fixtures/images.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage, testMount } from '../../../test/fixtures/store-image.ts'
import { digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { formatMountRecord } from '../mount-record.ts'
import { blobPath, imagePath, objectPath, recipePath, recordPath } from '../store-layout.ts'
import { type ImageRecord, formatRecord } from '../records/image-record.ts'
import type { Damage, FsckOptions } from './fsck-report.ts'
import { formatRef } from '../records/refs.ts'
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
    () => [{ kind: 'object', problem: 'it is not a regular file', images: both }],
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
  [
    'an object that belongs to another user',
    ({ root }) => chownSync(objectPath(root, object), 65534, 65534),
    () => [{ kind: 'object', name: object, problem: 'it belongs to user 65534, expected 0', images: both }],
  ],
  [
    'a record that belongs to another user',
    ({ root, one }) => chownSync(recordPath(root, one.manifest.digest), 65534, 65534),
    ({ one }) => [{ kind: 'record', name: one.manifest.digest, state: 'exposed', images: both }],
  ],
  [
    'a folder that others can write to',
    ({ root }) => chmodSync(`${root}/layers`, 0o777),
    ({ root }) => [{ kind: 'store', name: `${root}/layers`, state: 'exposed' }],
  ],
  [
    'symlinks in place of a recipe, a record, an image and a config',
    ({ root, recipe, one, image }) => {
      for (const path of [
        recipePath(root, recipe),
        recordPath(root, one.manifest.digest),
        imagePath(root, image),
        blobPath(root, one.config.digest),
      ])
        swapForSymlink(path)
    },
    ({ one, image, recipe }) => [
      { kind: 'blob', name: one.config.digest, state: 'broken' },
      { kind: 'image', name: image, state: 'broken' },
      { kind: 'recipe', name: recipe, state: 'broken' },
      { kind: 'record', name: one.manifest.digest, state: 'broken', images: both },
      { kind: 'ref', name: 'one', state: 'untrue' },
      { kind: 'ref', name: 'uno', state: 'untrue' },
    ],
  ],
  [
    'a record that says other layers than its manifest',
    ({ root, one }) =>
      writeFileSync(recordPath(root, one.manifest.digest), formatRecord({ ...one, layers: one.layers.toReversed() })),
    ({ one }) => [
      { kind: 'record', name: one.manifest.digest, problem: 'its layers are not those of the manifest', images: both },
    ],
  ],
  [
    'the record of an image long gone',
    ({ root, one }) => {
      for (const name of ['one', 'uno']) rmSync(`${root}/refs/${name}`)
      rmSync(blobPath(root, one.manifest.digest))
    },
    ({ one }) => [{ kind: 'blob', name: one.manifest.digest, problem: 'it is missing', images: [] }],
  ],
  [
    'a recipe that names an object the store has not',
    ({ root }) => rmSync(objectPath(root, object)),
    () => [{ kind: 'object', name: object, state: 'missing', images: both }],
  ],
  [
    'the state of a mount that is none, and one whose changes are gone',
    ({ root, image }) => {
      mkdirSync(`${root}/mounts/0123456789ab`, { recursive: true })
      writeFileSync(`${root}/mounts/0123456789ab/mount.json`, '{"image": "../../etc"}')
      mkdirSync(`${root}/mounts/0123456789ac`)
      const mount = { ...testMount, id: '0123456789ac', image, name: 'one', changes: '/x' }
      writeFileSync(`${root}/mounts/0123456789ac/mount.json`, formatMountRecord(mount))
    },
    () => [
      { kind: 'mount', name: '0123456789ab', state: 'broken' },
      { kind: 'mount', name: '0123456789ac', state: 'untrue', images: ['one'] },
    ],
  ],
  ['a root that others can write to', ({ root }) => chmodSync(root, 0o777), () => [{ kind: 'store' }]],
]

/** With the very same bytes, so that only following it could find nothing wrong. */
function swapForSymlink(path: string): void {
  const elsewhere = `${path.slice(0, path.indexOf('/store/'))}/elsewhere-${basename(path)}`
  renameSync(path, elsewhere)
  symlinkSync(elsewhere, path)
}

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

describe('what is damaged', () => {
  test('is moved away once, and missing from then on; with dryRun nothing is moved', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    const { root, recipe, image, one } = await makeSample(store)
    edit(objectPath(root, object), flip)
    edit(recipePath(root, recipe), flip)
    edit(imagePath(root, image), flip)
    edit(recordPath(root, one.manifest.digest), cut)
    const dry = await store.fsck({ dryRun: true })
    assert.ok(existsSync(objectPath(root, object)) && !existsSync(`${root}/quarantine`))
    const { damage } = await store.fsck()
    assert.deepEqual(
      damage.map(({ kind, name, quarantined }) => [kind, name, quarantined]),
      [
        ['image', image, `quarantine/images/${image}.erofs`],
        ['object', object, `quarantine/objects/${object}`],
        ['recipe', recipe, `quarantine/layers/${recipe}`],
        ['record', one.manifest.digest, undefined],
        ['ref', 'one', undefined],
        ['ref', 'uno', undefined],
      ].filter(([kind]) => damage.some((each) => each.kind === kind)),
    )
    assert.deepEqual(
      dry.damage.map(({ name }) => name),
      damage.map(({ name }) => name),
    )
    assert.deepEqual(readdirSync(`${root}/quarantine`).toSorted(), ['images', 'layers', 'objects'])
    assert.equal(existsSync(objectPath(root, object)), false)
    await assert.rejects(store.gc(), (error) => hasCode(error, 'CORRUPT'), 'a record that cannot be read is no consent')
  })

  test('is told with every path that has it, also when its recipe is gone', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    const layers = [
      [file('x/a', bytes), file('x/b', bytes)],
      [file('y', bytes), file('z', other)],
    ]
    const record = stageImage(transaction, { layers, name: 'one' })
    await transaction.commit()
    edit(objectPath(store.root, object), flip)
    const paths = ['/x/a', '/x/b', '/y']
    for (const layer of [undefined, ...record.layers]) {
      if (layer !== undefined) edit(recipePath(store.root, layer.recipe), flip)
      const { damage } = await store.fsck({ dryRun: true })
      const [found] = damage.filter(({ kind }) => kind === 'object')
      assert.deepEqual(found?.affected[0]?.paths.toSorted(), paths)
    }
  })

  test('is not read again when nothing has changed, and is when it has', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    const { root } = await makeSample(store)
    assert.equal((await store.fsck({ changed: true })).checked.hashed, 2)
    assert.equal((await store.fsck({ changed: true })).checked.hashed, 0)
    edit(objectPath(root, object), flip)
    const { damage, checked } = await store.fsck({ changed: true, dryRun: true })
    assert.deepEqual([damage.length, checked.hashed], [1, 1])
    rmSync(`${root}/checked.json`)
    assert.equal((await store.fsck({ changed: true, dryRun: true })).checked.hashed, 2)
    writeFileSync(`${root}/checked.json`, `{"hashed": ${Date.now() * 2000}}`)
    assert.equal((await store.fsck({ changed: true, dryRun: true })).checked.hashed, 2, 'a time to come')
  })

  test('is found by sample as far as it is in it, the same for the same seed', async () => {
    using place = scratch('fsck')
    await using store = await openStore(place.at('store'))
    await makeSample(store)
    const hashed = async (sample: FsckOptions['sample']): Promise<number> =>
      (await store.fsck({ sample })).checked.hashed
    assert.deepEqual([await hashed({ count: 1 }), await hashed({ count: 9 }), await hashed({ percent: 0 })], [1, 2, 0])
    edit(objectPath(store.root, object), flip)
    const seeds = Array.from({ length: 12 }, (_, i) => `seed ${i}`)
    const found = async (): Promise<number[]> => {
      const counts: number[] = []
      for (const seed of seeds)
        counts.push((await store.fsck({ sample: { count: 1, seed }, dryRun: true })).damage.length)
      return counts
    }
    const first = await found()
    assert.deepEqual(new Set(first), new Set([0, 1]))
    assert.deepEqual(await found(), first)
  })
})

test('an index of another store, or none at all, is told and harms nothing', async () => {
  using place = scratch('fsck')
  await using store = await openStore(place.at('store'))
  await makeSample(store)
  assert.equal((await store.fsck()).index, 'none')
  await using far = await openStore(place.at('far'))
  {
    await using transaction = await far.begin()
    const { layers } = stageImage(transaction, { layers: [[file('far', other)]], name: 'far' })
    await transaction.commit()
    await using second = await far.begin()
    for (const { diffId } of layers) assert.ok(await second.findLayer({ diffId }))
  }
  assert.equal((await far.fsck()).index, 'current')
  writeFileSync(`${store.root}/index.db`, readFileSync(`${far.root}/index.db`))
  assert.equal((await store.fsck()).index, 'foreign')
  writeFileSync(`${store.root}/index.db`, 'no database')
  const report = await store.fsck()
  assert.deepEqual([report.index, report.clean], ['damaged', true])
})

test('a tag being set is no stray', async () => {
  using place = scratch('fsck')
  await using store = await openStore(place.at('store'))
  await makeSample(store)
  writeFileSync(`${store.root}/tmp/ref-01234567-89ab-cdef-0123-456789abcdef`, '')
  assert.deepEqual((await store.fsck()).strays, [])
})
