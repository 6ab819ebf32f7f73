import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, suite, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { checkDigest, digestOf, hexOf } from '../digest.ts'
import type { Entry } from '../formats/entry.ts'
import { TarParser } from '../formats/tar/parse.ts'
import { needsPrograms } from '../../test/needs.ts'
import { scratch } from '../../test/scratch.ts'
import { type DemoImage, makeDemoImages } from './images.ts'

suite('demo images', { skip: needsPrograms('ldd', 'sh', 'ls', 'uname', 'sha256sum') }, () => {
  const place = scratch('demo')
  let images: readonly DemoImage[] = []
  before(async () => {
    images = await makeDemoImages(place.path)
  })
  after(() => place[Symbol.dispose]())

  test('two images share no layer, and all files but the script and one program', () => {
    const blobs = images.flatMap(({ layers }) => layers.map(({ blob }) => blob.digest))
    assert.equal(new Set(blobs).size, 6)

    const [first, second] = images.map(({ layers }) => layers.flatMap(({ files }) => files))
    const held = new Set(first?.map(({ bytes }) => digestOf(bytes)))
    const fresh = second?.filter(({ bytes }) => !held.has(digestOf(bytes))) ?? []
    assert.deepEqual(
      fresh.map(({ path }) => path).filter((path) => !path.includes('lib')),
      ['bin/sha256sum', 'srv/hello.cjs'],
    )
  })

  test('layers are what their digests say, with their files in them', () => {
    for (const { blob, diffId, files } of images[0]?.layers ?? []) {
      const bytes = readFileSync(place.at('blobs/sha256', hexOf(blob.digest)))
      assert.equal(bytes.length, blob.size)
      checkDigest(bytes, blob.digest, 'layer')
      const tar = gunzipSync(bytes)
      checkDigest(tar, diffId, 'tar')
      assert.deepEqual(
        entriesOf(tar)
          .filter(({ type }) => type === 'file')
          .map(({ path, mode }) => [path, mode]),
        files.map(({ path, mode }) => [path, mode]),
      )
    }
  })
})

function entriesOf(tar: Uint8Array): Entry[] {
  const entries: Entry[] = []
  const nothing = (): void => {}
  const parser = new TarParser({
    framing: nothing,
    entry: (entry) => entries.push(entry),
    data: nothing,
    endEntry: nothing,
  })
  parser.write(tar)
  parser.end()
  return entries
}
