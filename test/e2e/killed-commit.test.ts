import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { commit } from '../../src/library/committing.ts'
import { mount, unmount } from '../../src/library/mounting.ts'
import { readTree } from '../../src/library/reading.ts'
import { diffTrees } from '../../src/image/diff-trees.ts'
import { openStore } from '../../src/store/store.ts'
import { importImage } from '../../src/transfer/commit/import-tree.ts'
import { onefold } from '../fixtures/command.ts'
import { KillMidway } from '../fixtures/kill-midway.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { readTree as readFolder } from '../fixtures/overlayfs.ts'
import { scratch } from '../fixtures/scratch.ts'

const kills = 4

test('a commit killed at any instant leaves no image or all of it', { skip: needsRoot }, async () => {
  using place = scratch('killed')
  const root = place.at('store')
  await using store = await openStore(root)
  mkdirSync(place.at('base/old/deep'), { recursive: true })
  for (let i = 0; i < 200; i++) writeFileSync(place.at(`base/old/${i}`), randomBytes(20_000))
  await importImage(store, place.at('base'), 'base', { created: 0 })
  const { id, target } = await mount(store, 'base', { rw: true })
  try {
    rmSync(`${target}/old/7`)
    for (let i = 0; i < 150; i++) writeFileSync(`${target}/old/new${i}`, randomBytes(20_000))
    const shown = readFolder(target)
    const start = (): ChildProcess =>
      spawn(onefold, ['--store', root, '--quiet', 'commit', id, 'made', '--timestamp', '0'], { stdio: 'ignore' })
    const midway = new KillMidway(start)
    await midway.finish()
    const { digest } = store.find('made').top
    await store.remove('made')
    await store.gc()

    for (let killed = 0; killed < kills;) {
      if (await midway.kill((killed + Math.random()) / kills)) killed++
      assert.deepEqual((await store.fsck()).damage, [], `after ${killed} kills`)
      if (store.ref('made') === undefined) continue
      assert.equal(store.find('made').top.digest, digest)
      assert.deepEqual([...diffTrees(await readTree(store, 'made'), shown)], [])
      await store.remove('made')
      await store.gc()
    }
    const made = await commit(store, id, 'made', { created: 0 })
    assert.equal(made.manifest, digest)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    assert.deepEqual(readdirSync(`${root}/tmp`), [])
  } finally {
    unmount(store, id, { discard: true })
  }
})
