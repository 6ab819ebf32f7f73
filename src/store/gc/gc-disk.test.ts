import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statfsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { onefold } from '../../../test/fixtures/command.ts'
import { file } from '../../../test/fixtures/images.ts'
import { LoopDisk, btrfs, ext4, fill, needsLoop, xfs } from '../../../test/fixtures/loop-disk.ts'
import { needsPrograms } from '../../../test/fixtures/needs.ts'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { stageImage } from '../../../test/fixtures/store-image.ts'
import { hasCode } from '../../error.ts'
import { imagePath } from '../store-layout.ts'
import type { ImageRecord } from '../records/image-record.ts'
import { type Store, openStore } from '../store.ts'

/** Collections on disks that are full or broken, and beside mounts of which this mount namespace knows nothing. */

async function add(store: Store, name: string, files: number): Promise<ImageRecord> {
  await using transaction = await store.begin()
  const entries = Array.from({ length: files }, (_, i) => file(`f${i}`, Buffer.alloc(5000, `${name} ${i}. `)))
  const record = stageImage(transaction, { layers: [entries, [file('own', `${name} `.repeat(40))]], name })
  await transaction.commit()
  return record
}

for (const [mkfs, megabytes] of [
  [ext4, 24],
  [xfs, 320],
  [btrfs, 128],
] as const)
  describe(mkfs[0], { skip: needsLoop === false ? needsPrograms(mkfs[0]) : needsLoop }, () => {
    test('a full disk is no obstacle', async () => {
      using place = scratch('gc-disk')
      using disk = new LoopDisk(place.path, megabytes * 1024 * 1024, mkfs)
      await using store = await openStore(`${disk.path}/store`)
      await add(store, 'kept', 50)
      await add(store, 'gone', 300)
      // More than one file: what the first left, for example to a file of its own size, the next takes.
      for (let n = 0; n < 20 && fill(`${disk.path}/filler-${n}`); n++);
      assert.ok(statfsSync(disk.path).bavail < 16)
      await store.remove('gone')
      const report = await store.gc()
      assert.deepEqual(
        [report.records.count, report.recipes.count, report.objects.count, readdirSync(`${store.root}/tmp`)],
        [1, 2, 301, []],
      )
      // XFS and btrfs give back when they get round to it.
      execFileSync('sync', ['-f', disk.path])
      assert.ok(report.freed >= 301 * 4096, `${report.freed}`)
      assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
      assert.deepEqual(store.refs(), ['kept'])
    })

    const skip = mkfs === btrfs && 'btrfs cannot be shut down'
    test('a disk that fails ends it with an error, and nothing is half done', { skip }, async () => {
      using place = scratch('gc-disk')
      using disk = new LoopDisk(place.path, Math.max(megabytes, 64) * 1024 * 1024, mkfs)
      const root = `${disk.path}/store`
      {
        await using store = await openStore(root)
        await add(store, 'kept', 50)
        await add(store, 'gone', 400)
        await store.remove('gone')
        const collecting = store.gc()
        disk.shutDown()
        await assert.rejects(collecting, (error) => hasCode(error, 'IO') && error.message.startsWith('Cannot '))
      }
      disk.cutPower()
      await using store = await openStore(root)
      assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
      await store.gc()
      const report = await store.fsck({ rebuild: true })
      assert.deepEqual([report.damage, report.strays, report.checked.objects], [[], [], 51])
    })
  })

test('a read-only file system is told', { skip: needsLoop }, async () => {
  using place = scratch('gc-disk')
  using disk = new LoopDisk(place.path, 16 * 1024 * 1024)
  await using store = await openStore(`${disk.path}/store`)
  await add(store, 'gone', 40)
  await store.remove('gone')
  execFileSync('mount', ['-o', 'remount,ro', disk.path])
  await assert.rejects(store.gc(), (error) => hasCode(error, 'DENIED') && /EROFS/.test(error.message))
  assert.equal((await store.gc({ dryRun: true })).objects.count, 41)
  execFileSync('mount', ['-o', 'remount,rw', disk.path])
  assert.equal((await store.gc()).objects.count, 41)
})

describe('mounts', { skip: needsLoop || needsPrograms('unshare') }, () => {
  test('one in another mount namespace, whose maker is gone, keeps its image until that ends', async () => {
    using place = scratch('gc-disk')
    await using store = await openStore(place.at('store'))
    const record = await add(store, 'app', 20)
    const image = imagePath(store.root, record.images.default ?? assert.fail('it has no image'))
    // What keeps it is the namespace alone: the mount command has ended, and so has whatever it had open.
    const script = `"$0" --store "$1" mount app /mnt && exec sleep 60`
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, onefold, store.root]
    const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(child.stdout, 'data')
      await store.remove('app')
      assert.equal((await store.gc()).objects.count, 0)
      assert.ok(existsSync(image))
      assert.deepEqual(
        [(await store.gc({ dryRun: true })).objects.count, (await store.fsck({ rebuild: true })).damage],
        [0, []],
      )
    } finally {
      child.kill('SIGKILL')
      await once(child, 'close')
    }
    // The namespace goes with its last process, the mount a moment after it.
    for (let tries = 0; existsSync(image) && tries < 100; tries++) await store.gc()
    assert.equal(existsSync(image), false)
    assert.deepEqual(readdirSync(store.objectsPath), [])
  })
})
