import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { outline, randomTree } from '../../../test/random-tree.ts'
import { openErofs, readErofs } from './tree.ts'
import { writeErofs } from './write.ts'

describe('readErofs', () => {
  test('gives back the tree that was written, and that gives the same bytes', () => {
    fc.assert(
      fc.property(randomTree({ foreignPaths: true }), (tree) => {
        const { bytes, version } = writeErofs(tree)
        const back = readErofs(bytes, { foreignPaths: true })
        assert.deepEqual(outline(back), outline(tree))
        const again = writeErofs(back)
        assert.equal(again.version, version)
        assert.ok(Buffer.from(again.bytes).equals(bytes), 'written again: other bytes')
      }),
      { numRuns: 300 },
    )
  })

  test('gives a tree of the same bytes even where the image is ambiguous', () => {
    fc.assert(
      fc.property(randomTree({ ambiguous: true }), fc.constantFrom(0 as const, 1 as const), (tree, version) => {
        const options = { minVersion: version, maxVersion: version }
        const { bytes } = writeErofs(tree, options)
        assert.ok(Buffer.from(writeErofs(readErofs(bytes), options).bytes).equals(bytes))
      }),
      { numRuns: 300 },
    )
  })
})
