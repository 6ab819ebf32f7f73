import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { commit } from '../../src/library/committing.ts'
import { mount, unmount } from '../../src/library/mounting.ts'
import { readTree } from '../../src/library/reading.ts'
import { diffTrees } from '../../src/image/diff-trees.ts'
import { openStore } from '../../src/store/store.ts'
import { importImage } from '../../src/transfer/commit/import-tree.ts'
import { onefold } from '../fixtures/command.ts'
import { needsRoot } from '../fixtures/needs.ts'
import { readTree as readFolder } from '../fixtures/overlayfs.ts'
import { scratch } from '../fixtures/scratch.ts'

const rounds = 5

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
    const start = (): ReturnType<typeof spawn> =>
      spawn(onefold, ['--store', root, '--quiet', 'commit', id, 'made', '--timestamp', '0'], { stdio: 'ignore' })
    const began = performance.now()
    await once(start(), 'exit')
    const whole = performance.now() - began
    const { digest } = store.find('made').top
    await store.remove('made')
    await store.gc()

    let killed = 0
    for (let round = 0; round < rounds; round++) {
      const child = start()
      await Promise.race([sleep((whole * (round + Math.random())) / rounds), once(child, 'exit')])
      if (child.exitCode === null) killed++
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      assert.deepEqual((await store.fsck()).damage, [], `after ${round + 1} kills`)
      if (store.ref('made') === undefined) continue
      assert.equal(store.find('made').top.digest, digest)
      assert.deepEqual([...diffTrees(await readTree(store, 'made'), shown)], [])
      await store.remove('made')
      await store.gc()
    }
    assert.ok(killed > rounds / 3, `only ${killed} commits were killed in time`)
    const made = await commit(store, id, 'made', { created: 0 })
    assert.equal(made.manifest, digest)
    assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
    assert.deepEqual(readdirSync(`${root}/tmp`), [])
  } finally {
    unmount(store, id, { discard: true })
  }
})
