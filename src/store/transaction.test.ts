import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { digestOf, parseRecipeDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import { verityDigest } from '../formats/fsverity/digest.ts'
import type { ImageRecord } from './record.ts'
import { objectPath } from './layout.ts'
import { openStore } from './store.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'onefold-store-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const bytes = Buffer.from(
  'some bytes of a file, more than are kept inline in an image, so that they are an object of their own',
)

test('nothing of a transaction is visible before its commit, and all of it after', async (t) => {
  await using store = await openStore(join(folder(t), 'store'))
  await using transaction = await store.begin()
  using staging = transaction.staging('a')
  const object = verityDigest(bytes)
  assert.equal(staging.has(object), false)
  assert.equal(staging.stage(object, bytes), true)
  assert.equal(staging.has(object), true)
  assert.equal(staging.stage(object, bytes), false)
  const recipeBytes = Buffer.from('recipe')
  const recipe = parseRecipeDigest(digestOf(recipeBytes).slice(7))
  staging.stageRecipe(recipe, recipeBytes)
  const manifest = Buffer.from('{}')
  const descriptor = { mediaType: 'x/y', digest: digestOf(manifest), size: 2 }
  transaction.putBlob(descriptor.digest, manifest)
  const record: ImageRecord = {
    manifest: descriptor,
    config: descriptor,
    platform: { os: 'linux', architecture: 'amd64' },
    layers: [],
    images: {},
    origin: { source: 'x' },
    keepSelinux: false,
    size: 100,
  }
  transaction.putRecord(record)
  transaction.setRef('docker.io/library/x:y', descriptor)
  assert.deepEqual(readdirSync(`${store.root}/objects`), [])
  assert.deepEqual(store.refs(), [])
  await transaction.commit()
  assert.deepEqual(readFileSync(objectPath(store.root, object)), bytes)
  assert.equal(statSync(objectPath(store.root, object)).mode & 0o777, 0o444)
  assert.deepEqual(store.refs(), ['docker.io/library/x:y'])
  assert.deepEqual(store.ref('docker.io/library/x:y'), descriptor)
  assert.deepEqual(readdirSync(`${store.root}/tmp`), [])
  await assert.rejects(transaction.commit(), (error) => hasCode(error, 'USAGE'))
})
