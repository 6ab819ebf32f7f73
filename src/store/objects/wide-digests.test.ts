import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { scratch } from '../../../test/fixtures/scratch.ts'
import { verityDigest } from '../../formats/fsverity/verity-digest.ts'
import { objectPath } from '../store-layout.ts'
import { openStore } from '../store.ts'
import { wideDigests } from './wide-digests.ts'

test('the sha512 digest of a damaged object is neither given nor remembered', async () => {
  using place = scratch('wide')
  const content = Buffer.from('hello world'.repeat(20))
  await using store = await openStore(place.at('store'))
  const { root } = store
  const object = verityDigest(content)
  const path = objectPath(root, object)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, 'damaged')
  const ask = () => wideDigests(root, new Set([object]), { places: [root] })
  await assert.rejects(ask(), { code: 'CORRUPT' })
  writeFileSync(path, content)
  const first = (await ask()).get(object)
  assert.match(first ?? '', /^[0-9a-f]{128}$/)
  // Remembered: the file is not read again.
  writeFileSync(path, 'damaged')
  assert.equal((await ask()).get(object), first)
})
