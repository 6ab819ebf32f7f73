import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import type { ContentIndex } from '../../src/formats/content-index.ts'
import { sizeOf } from '../../src/formats/entry.ts'
import { anyLayer } from '../fixtures/any-layer.ts'
import { tarOf } from '../fixtures/images.ts'
import { indexOf, openTarFile, readIndexOf } from '../fixtures/index-layers.ts'
import { type Damage, damage, hurt } from './damage.ts'

const refusals = ['BAD_FORMAT', 'UNSUPPORTED', 'LIMIT'] as const

/** Indexes of random layers, hurt: a layer whose files lie in the tar, each byte in one of them, or an error. */
export function fuzzErofsTar(seed: number, rounds: number): void {
  const layer = anyLayer({ explicit: false, mountable: false }).map(tarOf)
  const wounds = fc.array(damage, { maxLength: 4 })
  fc.assert(fc.property(layer, wounds, fc.boolean(), check), { seed, numRuns: rounds })
}

function check(tar: Buffer, wounds: readonly Damage[], isFile: boolean): void {
  const { bytes, implied } = indexOf(tar)
  const index = hurt(Buffer.from(bytes), wounds)
  const blob = isFile ? Buffer.concat([index, tar]) : tar
  try {
    const found = isFile ? openTarFile(blob) : readIndexOf(tar, { bytes: index, implied })
    checkLayer(found, blob.length)
    assert.ok(found.files.length <= index.length, 'more entries than the index has bytes')
  } catch (error) {
    if (!refusals.some((code) => hasCode(error, code))) throw error
  }
}

function checkLayer({ files, units }: ContentIndex, blobSize: number): void {
  assert.equal(new Set(files.map(({ entry: { path } }) => path)).size, files.length, 'a path twice')
  units.reduce((end, unit) => {
    assert.ok(unit.start >= end && unit.end > unit.start && unit.end <= blobSize, `${unit.start} to ${unit.end}`)
    return unit.end
  }, 0)
  for (const { entry, extents } of files) {
    const size = extents.reduce((at, { offset, length, unit, skip }) => {
      assert.equal(offset, at)
      const { start = 0, end = length } = unit === undefined ? {} : (units[unit] ?? assert.fail('no such unit'))
      assert.ok(skip + length <= end - start)
      return at + length
    }, 0)
    assert.equal(size, entry.type === 'file' ? sizeOf(entry.content) : 0)
  }
}
