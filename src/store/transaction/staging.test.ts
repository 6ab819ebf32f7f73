import assert from 'node:assert/strict'
import { existsSync, lstatSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { parseDiffId, digestOf } from '../../digest.ts'
import { hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { RecipeWriter, recipeDigest } from '../../recipe/recipe.ts'
import { readRecipeFile } from '../recipes/recipe-files.ts'
import { objectPath, recipePath } from '../store-layout.ts'
import { type Store, openStore } from '../store.ts'
import { readHolds } from './holds.ts'
import { Staging } from './staging.ts'
import type { Transaction } from './transaction.ts'

const body = Buffer.alloc(5000, 'an object. ')
const other = Buffer.alloc(6000, 'another one. ')
const [digest, otherDigest] = [verityDigest(body), verityDigest(other)]

function folderOf(transaction: Transaction): string {
  return transaction.place('').folder
}

function holdsOf(transaction: Transaction): string[] {
  return Array.from(readHolds(folderOf(transaction)), ({ kind, digest: held }) => `${kind} ${held}`)
}

function someRecipe(): Uint8Array {
  const diffId = parseDiffId(digestOf(new Uint8Array()))
  return new RecipeWriter().finish({ diffId, tarSize: 0 })
}

async function storeWith(place: { at(name: string): string }, bytes: Buffer): Promise<Store> {
  const store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  using staging = transaction.staging('a')
  staging.stage(verityDigest(bytes), bytes)
  await transaction.commit()
  return store
}

describe('staging', () => {
  test('holds a digest before it is looked up, once for each lookup', async () => {
    using place = scratch('staging')
    await using store = await storeWith(place, body)
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    assert.deepEqual([staging.has(digest), staging.has(otherDigest)], [true, false])
    assert.deepEqual(holdsOf(transaction), [`o ${digest}`, `o ${otherDigest}`])
    staging.hold([digest, otherDigest])
    assert.deepEqual([staging.isStored(digest), staging.has(otherDigest)], [true, false])
    assert.equal(holdsOf(transaction).length, 4)
    // What is staged is nobody else's to take away.
    assert.equal(staging.isStaged(digest), false)
    assert.equal(holdsOf(transaction).length, 4)
  })

  test('stages an object once, whichever lane is first, readable for all', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    const umask = process.umask(0o777)
    try {
      using one = transaction.staging('one')
      using two = new Staging(transaction.place('two'))
      assert.deepEqual(
        [one.stage(digest, body), two.stage(digest, body), one.stage(digest, body)],
        [true, false, false],
      )
      assert.ok(two.has(digest) && two.isStaged(digest) && !two.isStored(digest))
    } finally {
      process.umask(umask)
    }
    const path = objectPath(folderOf(transaction), digest)
    assert.deepEqual([lstatSync(path).mode & 0o777, readFileSync(path)], [0o444, body])
    await transaction.commit()
    assert.deepEqual(readFileSync(objectPath(store.root, digest)), body)
  })

  test('gives files of several lanes names of their own, and the objects their places', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using one = transaction.staging('one')
    using two = transaction.staging('two')
    const files = [one.openFile(), two.openFile(), one.openFile()]
    assert.equal(readdirSync(`${folderOf(transaction)}/files`).length, 3)
    for (const [index, bytes] of [body, other].entries()) {
      files[index]?.write(bytes)
      files[index]?.finish(verityDigest(bytes))
    }
    files[2]?.drop()
    assert.deepEqual(readdirSync(`${folderOf(transaction)}/files`), [])
    assert.ok(one.isStaged(digest) && one.isStaged(otherDigest))
  })

  test('takes over a file that is an object', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    writeFileSync(`${folderOf(transaction)}/files/x`, body)
    staging.take(digest, `${folderOf(transaction)}/files/x`)
    assert.deepEqual(readFileSync(objectPath(folderOf(transaction), digest)), body)
  })

  test('stages a recipe unless the store has it', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    const bytes = someRecipe()
    const recipe = recipeDigest(bytes)
    {
      await using transaction = await store.begin()
      using staging = transaction.staging('a')
      assert.equal(staging.hasRecipe(recipe), false)
      staging.stageRecipe(recipe, bytes)
      assert.deepEqual(readRecipeFile(folderOf(transaction), recipe), Buffer.from(bytes))
      assert.ok(holdsOf(transaction).includes(`l ${recipe}`))
      await transaction.commit()
    }
    await using again = await store.begin()
    using staging = again.staging('a')
    assert.equal(staging.hasRecipe(recipe), true)
    staging.stageRecipe(recipe, bytes)
    assert.equal(existsSync(recipePath(folderOf(again), recipe)), false)
  })

  test('a call that fails ends the transaction: it takes no more holds, and is not committed', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    rmSync(`${folderOf(transaction)}/files`, { recursive: true })
    assert.throws(
      () => staging.openFile(),
      (error) => hasCode(error, 'NOT_FOUND'),
    )
    using late = transaction.staging('late')
    assert.throws(
      () => late.has(digest),
      (error) => hasCode(error, 'NOT_FOUND'),
    )
    await assert.rejects(transaction.commit(), (error) => hasCode(error, 'IO'))
  })

  test('an object that cannot be written ends it as well', async () => {
    using place = scratch('staging')
    await using store = await openStore(place.at('store'))
    await using transaction = await store.begin()
    using staging = transaction.staging('a')
    writeFileSync(`${folderOf(transaction)}/objects/${digest.slice(0, 2)}`, 'in the way')
    assert.throws(() => staging.stage(digest, body))
    await assert.rejects(transaction.commit(), (error) => hasCode(error, 'IO'))
  })
})
