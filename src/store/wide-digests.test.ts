import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { file, makeImage } from '../../test/images.ts'
import { scratch } from '../../test/scratch.ts'
import { verityDigest } from '../formats/fsverity/digest.ts'
import { openSource } from '../sources/open.ts'
import { pull } from '../transfer/pull.ts'
import { objectPath } from './layout.ts'
import { openStore } from './store.ts'
import { wideDigests } from './wide-digests.ts'

test('the sha512 digest of a damaged object is neither given nor remembered', async () => {
  using place = scratch('wide')
  const content = Buffer.from('hello world'.repeat(20))
  using image = makeImage({ layers: [[file('a', content)]] })
  await using store = await openStore(place.at('store'))
  await using source = await openSource(image.name)
  await pull(store, source, { name: 'app' })
  const { root } = store
  const object = verityDigest(content)
  const path = objectPath(root, object)
  const whole = readFileSync(path)
  chmodSync(path, 0o644)
  writeFileSync(path, 'damaged')
  const ask = () => wideDigests(root, new Set([object]), { places: [root] })
  await assert.rejects(ask(), { code: 'CORRUPT' })
  writeFileSync(path, whole)
  const first = (await ask()).get(object)
  assert.match(first ?? '', /^[0-9a-f]{128}$/)
  // Remembered: the file is not read again.
  writeFileSync(path, 'damaged')
  assert.equal((await ask()).get(object), first)
})
