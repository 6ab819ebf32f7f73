import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyLayer } from '../../../test/fixtures/any-layer.ts'
import { tarOf } from '../../../test/fixtures/images.ts'
import { indexOf, meaningOfIndex, meaningOfTar, openTarFile, readIndexOf } from '../../../test/fixtures/index-layers.ts'
import { collect } from '../../../test/fixtures/table-layers.ts'
import { erofsTarFile } from './erofs-tar-file.ts'
import { TarIndexer } from './index-tar.ts'

test('an index says what its tar says', () => {
  fc.assert(
    fc.property(anyLayer({ explicit: false, mountable: false }), (entries) => {
      const tar = tarOf(entries)
      const found = readIndexOf(tar, indexOf(tar))
      assert.deepEqual(meaningOfIndex(found, tar), meaningOfTar(tar))
      assert.equal(found.bound, false)
    }),
    { numRuns: 200 },
  )
})

test('a file says what its tar says, but for directories without entries', async () => {
  await fc.assert(
    fc.asyncProperty(anyLayer({ explicit: true, mountable: false }), async (entries) => {
      const tar = tarOf(entries)
      const { blob } = await collect(erofsTarFile.write?.(() => [tar]) ?? assert.fail('it cannot be written'))
      assert.ok(blob.subarray(-tar.length).equals(tar))
      const found = openTarFile(blob)
      assert.deepEqual(meaningOfIndex(found, blob), meaningOfTar(tar))
    }),
    { numRuns: 50 },
  )
})

test('an index is the same for a tar in any pieces', () => {
  fc.assert(
    fc.property(
      anyLayer({ explicit: false, mountable: false }),
      fc.integer({ min: 1, max: 2000 }),
      (entries, length) => {
        const tar = tarOf(entries)
        const indexer = new TarIndexer()
        for (let at = 0; at < tar.length; at += length) indexer.write(tar.subarray(at, at + length))
        assert.deepEqual(indexer.finish(), indexOf(tar))
      },
    ),
    { numRuns: 20 },
  )
})
