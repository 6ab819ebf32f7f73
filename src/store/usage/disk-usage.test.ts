import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, openSync, closeSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, test } from 'node:test'
import { type TestEntry, file } from '../../../test/fixtures/images.ts'
import { LoopDisk, btrfs, ext4, needsLoop, xfs } from '../../../test/fixtures/loop-disk.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { parseVerityDigest } from '../../digest.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { imagePath, objectPath } from '../store-layout.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { type Store, openStore } from '../store.ts'

async function add(store: Store, name: string, layers: readonly (readonly TestEntry[])[]): Promise<ImageRecord> {
  await using transaction = await store.begin()
  const record = stageImage(transaction, { layers, name })
  await transaction.commit()
  return record
}

/** Of sizes as files in images have them: most small, a few large. */
function files(label: string, count: number): TestEntry[] {
  return Array.from({ length: count }, (_, i) =>
    file(`${label}/${i}`, randomBytes(i % 50 === 0 ? 300_000 : 100 + 37 * i)),
  )
}

describe('du', () => {
  test('tells for each name what gc frees without it', async () => {
    using place = scratch('du')
    await using store = await openStore(place.at('store'))
    const [shared, one, two] = [files('shared', 40), files('one', 30), files('two', 20)]
    await add(store, 'one', [shared, one])
    await add(store, 'two', [shared, two])
    await add(store, 'three', [files('three', 10)])
    await store.tag('three', 'third')
    const { images, store: all } = await store.du()
    assert.deepEqual(
      images.map(({ name }) => name),
      ['one', 'third', 'three', 'two'],
    )
    assert.equal(all.reclaimable, 0)
    for (const { total, unique, shared: rest } of images) assert.equal(total, unique + rest)
    for (const { name, unique, reclaimable } of images)
      assert.equal(reclaimable, name.startsWith('th') ? 0 : unique, name)
    const [first] = images
    assert.ok(first && first.unique > 300_000 && first.shared > 300_000)
    await store.remove('one')
    assert.equal((await store.du()).store.reclaimable, first.reclaimable)
    assert.equal((await store.gc({ dryRun: true })).freed, first.reclaimable)
    assert.equal((await store.gc()).freed, first.reclaimable)
    const after = await store.du()
    assert.equal(after.store.reclaimable, 0)
    assert.equal(after.images.find(({ name }) => name === 'two')?.shared, 0)
  })

  test('what is in use, or has another hard link, is not reclaimable', async () => {
    using place = scratch('du')
    await using store = await openStore(place.at('store'))
    const large = randomBytes(500_000)
    const record = await add(store, 'one', [[file('large', large), file('other', randomBytes(100_000))]])
    const reclaimable = async (): Promise<number | undefined> => (await store.du()).images[0]?.reclaimable
    const before = await reclaimable()
    assert.ok(before !== undefined && before > 600_000)
    linkSync(objectPath(store.root, verityDigest(large)), place.at('another name'))
    const linked = await reclaimable()
    assert.ok(linked !== undefined && linked < 200_000 && linked > 100_000)
    const open = openSync(imagePath(store.root, parseVerityDigest(record.images.default ?? '')), 'r')
    const mounted = await reclaimable()
    assert.ok(mounted !== undefined && mounted < 50_000, `${mounted}`)
    closeSync(open)
    await store.remove('one')
    assert.equal((await store.gc()).freed, linked)
  })

  for (const [mkfs, megabytes] of [
    [ext4, 128],
    [xfs, 400],
    [btrfs, 400],
  ] as const)
    test(
      `agrees with statfs(2) within 1 % on ${mkfs[0]}`,
      {
        skip: needsLoop === false ? needsPrograms(mkfs[0]) : needsLoop,
      },
      async () => {
        using place = scratch('du')
        using disk = new LoopDisk(place.path, megabytes * 2 ** 20, mkfs)
        const used = (): number => {
          execFileSync('sync', ['-f', disk.path])
          const { blocks, bfree, bsize } = statfsSync(disk.path)
          return (blocks - bfree) * bsize
        }
        const empty = used()
        await using store = await openStore(`${disk.path}/store`)
        const large = randomBytes(8_000_000)
        await add(store, 'one', [files('shared', 400), [file('large', large)]])
        await add(store, 'two', [files('two', 400)])
        if (mkfs !== ext4) reflink(store, large)
        const { store: all } = await store.du()
        const measured = used() - empty
        assert.ok(Math.abs(all.total / measured - 1) < 0.01, `du says ${all.total}, statfs ${measured}`)
        if (mkfs === ext4) return
        // The copy is garbage; deleting it frees next to nothing.
        const { freed, objects } = await store.gc()
        assert.deepEqual(objects, { count: 1, bytes: large.length })
        assert.ok(freed < 10_000, `${freed}`)
      },
    )
})

/** An object that shares its blocks with another one, as chunks in common would. */
function reflink(store: Store, bytes: Uint8Array): void {
  const copy = objectPath(store.root, parseVerityDigest('ab'.repeat(32)))
  mkdirSync(dirname(copy), { recursive: true })
  execFileSync('cp', ['--reflink=always', objectPath(store.root, verityDigest(bytes)), copy])
}
