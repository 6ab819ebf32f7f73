import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync, renameSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { file } from '../../test/fixtures/images.ts'
import { needsPrograms } from '../../test/fixtures/needs.ts'
import { LoopDisk, ext4, needsLoop, xfs } from '../../test/fixtures/loop-disk.ts'
import { scratch } from '../../test/fixtures/scratch.ts'
import { stageImage } from '../../test/fixtures/store-image.ts'
import { hasCode } from '../error.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { objectPath } from './store-layout.ts'
import { openStore } from './store.ts'
import type { Transaction } from './transaction/transaction.ts'

/** Processes that are killed, disks that are full, power that fails: what is left must be a store all the same. */

const program = fileURLToPath(new URL('../../test/fixtures/store-writer.ts', import.meta.url))

class Writer {
  readonly done: number[] = []
  readonly #child: ChildProcess
  #errors = ''
  readonly #exit: Promise<unknown>

  constructor(...args: (string | number)[]) {
    this.#child = spawn(process.execPath, [program, ...args.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#exit = once(this.#child, 'close')
    this.#child.stderr?.on('data', (text: Buffer) => (this.#errors += text.toString()))
    this.#child.stdout?.on('data', (text: Buffer) => {
      for (const line of text.toString().trim().split('\n')) this.done.push(Number(line))
    })
  }

  /** All of its images are there. */
  async end(): Promise<void> {
    await this.#exit
    assert.equal(this.#child.exitCode, 0, this.#errors)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exit
  }

  /** Resolves when the image's commit has returned. */
  async until(n: number): Promise<void> {
    while (!this.done.includes(n)) {
      assert.equal(this.#child.exitCode, null, this.#errors)
      await sleep(2)
    }
  }
}

/** A store without damage that has all these images. */
async function expectWhole(root: string, names: readonly string[]): Promise<void> {
  await using store = await openStore(root)
  const report = await store.fsck({ rebuild: true })
  assert.deepEqual(report.damage, [])
  assert.deepEqual(report.strays, [])
  for (const name of names) assert.ok(store.find(name), name)
}

describe('kill -9', () => {
  test('at any instant leaves a store that the next process goes on with', async () => {
    using place = scratch('crash')
    const root = place.at('store')
    const done: number[] = []
    for (let round = 0; round < 5; round++) {
      const next = (done.at(-1) ?? -1) + 1
      const writer = new Writer(root, 'x', next, 1000)
      await writer.until(next)
      await sleep(Math.random() * 40)
      await writer.kill()
      done.push(...writer.done)
      const names = done.map((n) => `x-${n}`)
      await expectWhole(root, names)
    }
    await using store = await openStore(root)
    await using _next = await store.begin()
    assert.equal(readdirSync(`${root}/tmp`).length, 1)
  })

  test('of a collection: what was put aside and not deleted comes back, unless there is a new one', async () => {
    using place = scratch('crash')
    await using store = await openStore(place.at('store'))
    const content = Buffer.alloc(500, 'a')
    {
      await using transaction = await store.begin()
      stageImage(transaction, { layers: [[file('a', content)]], name: 'x' })
      await transaction.commit()
    }
    const digest = verityDigest(content)
    const aside = `${store.root}/tmp/aside-objects-${digest}`
    const foreign = `${store.root}/tmp/aside-objects-${digest}x`
    for (const begin of [() => store.begin(), () => store.gc()]) {
      renameSync(objectPath(store.root, digest), aside)
      rmdirSync(dirname(objectPath(store.root, digest)))
      writeFileSync(foreign, '')
      const begun = await begin()
      assert.deepEqual(readFileSync(objectPath(store.root, digest)), content)
      if (Symbol.asyncDispose in begun) await begun[Symbol.asyncDispose]()
      assert.deepEqual(readdirSync(`${store.root}/tmp`), [basename(foreign)])
    }
    writeFileSync(aside, 'another')
    await using _transaction = await store.begin()
    assert.deepEqual(readFileSync(objectPath(store.root, digest)), content)
    assert.equal(existsSync(aside), false)
  })
})

test('two processes fill one store with the same files at once', async () => {
  using place = scratch('crash')
  const root = place.at('store')
  const writers = [new Writer(root, 'a', 0, 12), new Writer(root, 'b', 0, 12)]
  for (const writer of writers) await writer.end()
  const numbers = Array.from({ length: 12 }, (_, n) => n)
  await expectWhole(root, [...numbers.map((n) => `a-${n}`), ...numbers.map((n) => `b-${n}`)])
})

test('garbage is collected while two processes add and remove images', async () => {
  using place = scratch('crash')
  const root = place.at('store')
  await using store = await openStore(root)
  const writers = [new Writer(root, 'a', 0, 25, 'remove'), new Writer(root, 'b', 0, 25, 'remove')]
  let running = true
  const ends = Promise.all(writers.map((writer) => writer.end())).finally(() => (running = false))
  let collected = 0
  while (running) {
    collected += (await store.gc()).objects.count
    await sleep(1)
  }
  await ends
  assert.ok(collected > 0)
  await expectWhole(root, ['a-24', 'b-24'])
  await store.gc()
  assert.deepEqual(store.refs(), ['a-24', 'b-24'])
  await expectWhole(root, ['a-24', 'b-24'])
  assert.equal((await store.gc()).bytes, 0)
})

test('a full disk ends the transaction, not the store', { skip: needsLoop }, async () => {
  using place = scratch('crash')
  using disk = new LoopDisk(place.path, 8 * 1024 * 1024)
  const root = `${disk.path}/store`
  await using store = await openStore(root)
  const add = async (name: string, bytes: number): Promise<void> => {
    await using transaction = await store.begin()
    const files = Array.from({ length: bytes / 4000 }, (_, i) => file(`f${i}`, Buffer.alloc(4000, `${name} ${i}. `)))
    stageImage(transaction, { layers: [files], name })
    await transaction.commit()
  }
  await add('fits', 400_000)
  await assert.rejects(add('does not', 20_000_000), (error) => hasCode(error, 'IO') && /ENOSPC/.test(error.message))
  assert.deepEqual(readdirSync(`${root}/tmp`), [])
  await add('fits too', 400_000)
  await expectWhole(root, ['fits', 'fits too'])
})

for (const [mkfs, bytes] of [
  [ext4, 64 * 1024 * 1024],
  [xfs, 320 * 1024 * 1024],
] as const)
  describe(`power cut, ${mkfs[0]}`, { skip: needsLoop === false ? needsPrograms(mkfs[0]) : needsLoop }, () => {
    test('after success all is there, before it nothing is', async () => {
      using place = scratch('crash')
      using disk = new LoopDisk(place.path, bytes, mkfs)
      const root = `${disk.path}/store`
      const stage = (transaction: Transaction, name: string): void =>
        void stageImage(transaction, { layers: [[file('a', Buffer.alloc(100_000, name))]], name })
      {
        await using store = await openStore(root)
        for (const name of ['one', 'two']) {
          await using transaction = await store.begin()
          stage(transaction, name)
          await transaction.commit()
        }
        await store.remove('one')
      }
      disk.cutPower()
      await expectWhole(root, ['two'])
      {
        await using store = await openStore(root)
        await using transaction = await store.begin()
        stage(transaction, 'three')
        disk.shutDown()
        await assert.rejects(transaction.commit(), (error) => hasCode(error, 'IO'))
      }
      disk.cutPower()
      await expectWhole(root, ['two'])
      await using store = await openStore(root)
      assert.deepEqual(store.refs(), ['two'])
    })

    test('at any instant', async () => {
      using place = scratch('crash')
      using disk = new LoopDisk(place.path, bytes, mkfs)
      const root = `${disk.path}/store`
      const done: number[] = []
      for (let round = 0; round < 3; round++) {
        const next = (done.at(-1) ?? -1) + 1
        const writer = new Writer(root, 'x', next, 1000)
        await writer.until(next)
        await sleep(Math.random() * 60)
        disk.shutDown()
        await writer.kill()
        disk.cutPower()
        done.push(...writer.done)
        const names = done.map((n) => `x-${n}`)
        await expectWhole(root, names)
        await using store = await openStore(root)
        await store.gc()
        await expectWhole(root, names)
      }
    })
  })
