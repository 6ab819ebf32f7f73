import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openSource } from '../../src/sources/open-source.ts'
import { openStore } from '../../src/store/store.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { type TestEntry, file, makeImage } from '../fixtures/images.ts'
import { scratch } from '../fixtures/scratch.ts'

const onefold = fileURLToPath(new URL('../../bin/onefold', import.meta.url))
const rounds = 12

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
  const began = performance.now()
  await once(startPull(), 'exit')
  const whole = performance.now() - began
  execFileSync('rm', ['-rf', root])

  let killed = 0
  for (let round = 0; round < rounds; round++) {
    const child = startPull()
    await Promise.race([sleep((whole * (round + 1)) / rounds), once(child, 'exit')])
    if (child.exitCode === null) killed++
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    if (readdirSync(place.path).length === 0) continue
    await using store = await openStore(root)
    const report = await store.fsck()
    assert.deepEqual(report.damage, [], `after ${round + 1} kills`)
    // Either there is no image, or all of it.
    for (const name of store.refs()) assert.equal(store.find(name).record.layers.length, 3)
  }
  // Once one has come to its end the others have little left to do.
  assert.ok(killed >= 2, `only ${killed} pulls were killed in time`)

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
  const module = new URL('../fixtures/killed-pull-child.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [module, root, image.name], { stdio: 'ignore' })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  assert.equal(signal, 'SIGKILL')
  await using store = await openStore(root)
  await using source = await openSource(image.name)
  const { stats } = await pull(store, source, { name: 'app' })
  assert.deepEqual([stats.layersPulled, stats.layersPresent], [1, 1])
  assert.deepEqual((await store.fsck({ rebuild: true })).damage, [])
})
