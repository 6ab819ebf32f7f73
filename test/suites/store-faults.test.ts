import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { OnefoldError } from '../../src/error.ts'
import { openSource } from '../../src/sources/open-source.ts'
import { type Store, openStore } from '../../src/store/store.ts'
import { pull } from '../../src/transfer/pull/pull.ts'
import { type DiskTrouble, type FaultKind, diskTroubles, lostDisk, runFailing } from '../fixtures/failing-calls.ts'
import { LayoutBuilder, type TestEntry, file } from '../fixtures/images.ts'
import { scratchInMemory } from '../fixtures/scratch.ts'
import { stageImage } from '../fixtures/store-image.ts'

/**
 * Every call by which a store changes its files fails, the first, the second and so on to the last: what is left is a store
 * without damage, in which the same succeeds the next time.
 */
interface Operation {
  readonly name: string
  readonly run: (store: Store) => Promise<unknown>
  /** Names after it; those that are in both lists are there whatever became of it. */
  readonly names: readonly string[]
  /** The store it begins with, when that is not the usual one. */
  readonly before?: 'damaged'
  readonly troubles?: readonly DiskTrouble[]
}

const place = scratchInMemory('faults')
const names = ['kept', 'other']
const operations: readonly Operation[] = [
  { name: 'a commit', run: (store) => commit(store, 'new'), names: ['kept', 'new', 'other'] },
  { name: 'a commit of what is there', run: (store) => commit(store, 'other'), names },
  // It starts threads, which take longer than all the rest.
  { name: 'a pull', run: pullNew, names: ['kept', 'new', 'other'], troubles: [lostDisk] },
  { name: 'a tag', run: (store) => store.tag('kept', 'again'), names: ['again', 'kept', 'other'] },
  { name: 'a removal', run: removeOther, names: ['kept'] },
  { name: 'a collection', run: (store) => store.gc(), names },
  { name: 'a check', run: (store) => store.fsck(), names },
  { name: 'a check that finds damage, and a commit that mends it', run: mendOther, names, before: 'damaged' },
]

before(async () => {
  const layout = new LayoutBuilder(place.at('layout'))
  layout.tag(layout.image({ layers: [layerOf('new'), layerOf('more')] }).manifest, 'new')
  await makeStore(place.at('usual'))
  cpSync(place.at('usual'), place.at('damaged'), { recursive: true })
  damageObjects(place.at('damaged'), 'only in other')
  await using damaged = await openStore(place.at('damaged'))
  assert.equal((await damaged.fsck({ dryRun: true })).damage.length, 1)
})
after(() => place[Symbol.dispose]())

for (const operation of operations)
  describe(operation.name, () => {
    for (const trouble of operation.troubles ?? diskTroubles)
      for (const kind of trouble.kinds) test(`${trouble.what}: ${kind}`, () => failEachCall(operation, trouble, kind))
  })

async function failEachCall(operation: Operation, trouble: DiskTrouble, kind: FaultKind): Promise<void> {
  for (let nth = 1; ; nth++) {
    using copy = scratchInMemory('faults')
    const root = copy.at('store')
    cpSync(place.at(operation.before ?? 'usual'), root, { recursive: true })
    await using store = await openStore(root)
    const { isHit, error, what } = await runFailing(() => operation.run(store), kind, { ...trouble, nth })
    if (!isHit) return assert.equal(error, undefined)
    assert.ok(error === undefined || error instanceof OnefoldError, what)
    await checkWhole(store, operation, error === undefined, what)
  }
}

test('making a store', async () => {
  for (const trouble of diskTroubles)
    for (const kind of trouble.kinds)
      for (let nth = 1, isOver = false; !isOver; nth++) {
        using copy = scratchInMemory('faults')
        const root = copy.at('store')
        const { isHit, error, what } = await runFailing(() => openStore(root), kind, { ...trouble, nth })
        assert.ok(error === undefined || error instanceof OnefoldError, what)
        await using store = await openStore(root)
        await commit(store, 'first')
        await checkClean(store, what)
        isOver = !isHit
      }
})

/** The store is whole, but for damage it began with; the operation succeeds, and a collection leaves nothing of either. */
async function checkWhole(store: Store, operation: Operation, isDone: boolean, what: string): Promise<void> {
  const found = store.refs().join()
  const wanted = [operation.names, ...(isDone ? [] : [names])].map((each) => each.join())
  assert.ok(wanted.includes(found), `${what}; then there are ${found}`)
  if (operation.before === undefined) await checkFiles(store, what)
  await operation.run(store)
  assert.deepEqual(store.refs(), operation.names, what)
  await checkClean(store, what)
}

async function checkClean(store: Store, what: string): Promise<void> {
  await store.gc()
  await checkFiles(store, what)
  assert.deepEqual(readdirSync(`${store.root}/tmp`), [], what)
}

/** States of a store that have been found whole: most faults leave one of a few. */
const whole = new Set<string>()

async function checkFiles(store: Store, what: string): Promise<void> {
  const state = stateOf(store.root)
  if (whole.has(state)) return
  const { damage, strays } = await store.fsck({ rebuild: true, dryRun: true })
  assert.deepEqual([damage, strays], [[], []], what)
  whole.add(state)
}

/** Every file with what it holds, but for what may be lost (the index), is nobody's yet, or changes by itself. */
function stateOf(root: string): string {
  const hash = createHash('sha256')
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted()) {
    if (/^(tmp\/|index\.db|lock$|checked\.json$)/.test(path) || !statSync(`${root}/${path}`).isFile()) continue
    hash.update(`${path}\n`).update(readFileSync(`${root}/${path}`))
  }
  return hash.digest('hex')
}

/** Two images, and what a third one left that has been removed. */
async function makeStore(root: string): Promise<void> {
  await using store = await openStore(root)
  for (const name of [...names, 'removed']) await commit(store, name)
  await store.remove('removed')
}

function layerOf(label: string): TestEntry[] {
  return [
    file('shared', Buffer.alloc(3000, 'shared by all. ')),
    file(`${label}/own`, Buffer.alloc(5000, `only in ${label}. `)),
    file(`${label}/small`, label),
  ]
}

async function commit(store: Store, name: string): Promise<void> {
  await using transaction = await store.begin()
  stageImage(transaction, { layers: [layerOf(name), [file('more', Buffer.alloc(200, name))]], name })
  await transaction.commit()
}

async function pullNew(store: Store): Promise<void> {
  await using source = await openSource(`oci:${place.at('layout')}:new`)
  await pull(store, source, { name: 'new' })
}

async function removeOther(store: Store): Promise<void> {
  if (store.ref('other') !== undefined) await store.remove('other')
}

async function mendOther(store: Store): Promise<void> {
  await store.fsck()
  await commit(store, 'other')
}

/** Changes a byte of every object that begins with `text`. */
function damageObjects(root: string, text: string): void {
  for (const path of readdirSync(`${root}/objects`, { recursive: true, encoding: 'utf8' })) {
    const object = `${root}/objects/${path}`
    if (!statSync(object).isFile()) continue
    const bytes = readFileSync(object)
    if (!bytes.toString('latin1').startsWith(text)) continue
    bytes[100]! ^= 1
    writeFileSync(object, bytes)
  }
}
