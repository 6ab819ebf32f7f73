import assert from 'node:assert/strict'
import { lstatSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { type Measured, type ScannedFile, scannedIdentity } from './measure-files.ts'
import { MeasurePool } from './measure-pool.ts'

/** Enough for several jobs. */
const count = 600

function filesIn(folder: string): ScannedFile[] {
  return Array.from({ length: count }, (_, i) => {
    const path = `${folder}/f${i}`
    writeFileSync(path, `content of file ${i} `.repeat(10))
    const stats = lstatSync(path, { bigint: true })
    return { path, size: Number(stats.size), identity: scannedIdentity(stats) }
  })
}

describe('a pool that measures files', () => {
  for (const threads of [1, 2, 3])
    test(`gives each file its digest on ${threads} threads`, async () => {
      using place = scratch('measure')
      await using pool = new MeasurePool(threads, {})
      const measured = new Map<number, Measured>()
      for (const [i, file] of filesIn(place.path).entries()) pool.add(file, (digest) => measured.set(i, digest))
      await pool.finish()
      assert.equal(measured.size, count)
      for (const [i, digest] of measured)
        assert.equal(digest, verityDigest(Buffer.from(`content of file ${i} `.repeat(10))))
    })

  test('passes on what went wrong in a thread, as it was told', async () => {
    using place = scratch('measure')
    const files = filesIn(place.path)
    writeFileSync(`${place.path}/f7`, 'changed in the meantime')
    await using pool = new MeasurePool(2, {})
    for (const file of files) pool.add(file, () => {})
    await assert.rejects(pool.finish(), { name: 'OnefoldError', code: 'DIGEST_MISMATCH', hint: /Stop what writes/ })
  })
})
