import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openSource } from '../../src/sources/open-source.ts'
import { openStore } from '../../src/store/store.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { type TestEntry, file, makeImage } from '../fixtures/images.ts'
import { KillMidway } from '../fixtures/kill-midway.ts'
import { scratch } from '../fixtures/scratch.ts'

const onefold = fileURLToPath(new URL('../../bin/onefold', import.meta.url))
const kills = 8

function layer(name: string): TestEntry[] {
  return Array.from({ length: 300 }, (_, i) => file(`${name}/${i}`, randomBytes(20_000)))
}

test('a pull killed at any instant leaves a store that the next pull continues from', async () => {
  using place = scratch('killed')
  using image = makeImage({ layers: ['a', 'b', 'c'].map(layer), compress: 'none' })
  const root = place.at('store')
  const startPull = (): ChildProcess =>
    spawn(onefold, ['--store', root, '--quiet', 'pull', image.name, '--name', 'app'], {
      stdio: 'ignore',
      detached: true,
    })
  const midway = new KillMidway(startPull)
  await midway.finish()
  rmSync(root, { recursive: true })

  for (let killed = 0; killed < kills;) {
    const wasKilled = await midway.kill((killed + 0.5) / kills)
    if (wasKilled) killed++
    if (readdirSync(place.path).length === 0) continue
    await using store = await openStore(root)
    const report = await store.fsck()
    assert.deepEqual(report.damage, [], `after ${killed} kills`)
    // Either there is no image, or all of it.
    for (const name of store.refs()) assert.equal(store.find(name).record.layers.length, 3)
    // Once one has come to its end the others would have little left to do.
    if (!wasKilled) rmSync(root, { recursive: true })
  }

  await using store = await openStore(root)
  await using source = await openSource(image.name)
  await pull(store, source, { name: 'app' })
  const report = await store.fsck({ rebuild: true })
  assert.deepEqual([report.damage, report.checked.objects, readdirSync(place.at('store/tmp'))], [[], 900, []])
})

test('what a killed pull had finished is not pulled again', async () => {
  using place = scratch('killed')
  using image = makeImage({ layers: [layer('small').slice(0, 3), layer('large')] })
  const root = place.at('store')
  const module = new URL('./killed-pull-child.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [module, root, image.name], { stdio: 'ignore' })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  assert.equal(signal, 'SIGKILL')
  await using store = await openStore(root)
  await using source = await openSource(image.name)
  const { stats } = await pull(store, source, { name: 'app' })
  assert.deepEqual([stats.layersPulled, stats.layersPresent], [1, 1])
  assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
})
