import assert from 'node:assert/strict'
import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { type Code, hasCode } from '../../error.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { objectPath } from '../store-layout.ts'
import { openStore } from '../store.ts'

const code = (want: Code) => (error: unknown) => hasCode(error, want)
const bytes = Buffer.from(Array.from({ length: 2_500_000 }, (_, i) => (i * i) >> 7))
const digest = verityDigest(bytes)

test('objects are read whole and in part', async () => {
  using place = scratch('objects')
  await using store = await openStore(place.at('store'))
  await using transaction = await store.begin()
  using staging = transaction.staging('a')
  staging.stage(digest, bytes)
  await transaction.commit()
  const read = async (range?: { offset?: number; length?: number }): Promise<Buffer> =>
    Buffer.concat(await Array.fromAsync(store.readObject(digest, range)))
  assert.deepEqual(await read(), bytes)
  assert.deepEqual(await read({ offset: 1_048_570, length: 20 }), bytes.subarray(1_048_570, 1_048_590))
  assert.deepEqual(await read({ offset: 2_499_999 }), bytes.subarray(2_499_999))
  assert.deepEqual(await read({ offset: 2_500_000 }), Buffer.alloc(0))
  await assert.rejects(read({ offset: 2_499_999, length: 2 }), code('CORRUPT'))
  using open = store.openObject(digest)
  assert.equal(open.size, bytes.length)
})

test('what is no object is not read', async () => {
  using place = scratch('objects')
  await using store = await openStore(place.at('store'))
  const path = objectPath(store.root, digest)
  assert.throws(() => store.openObject(digest), code('NOT_FOUND'))
  mkdirSync(dirname(path))
  symlinkSync('/etc/passwd', path)
  assert.throws(() => store.openObject(digest), code('CORRUPT'))
  renameSync(path, place.at('symlink'))
  execFileSync('mkfifo', [path])
  assert.throws(() => store.openObject(digest), code('CORRUPT'))
  renameSync(path, place.at('pipe'))
  mkdirSync(path)
  assert.throws(() => store.openObject(digest), code('CORRUPT'))
})
