import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { outline, randomTree } from '../../test/fixtures/random-tree.ts'
import { readErofs } from '../formats/composefs/read-image.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { emptyDirectory } from '../formats/tree.ts'
import { settleLinks } from './merge/apply-layers.ts'
import { composeImage } from './stream-image.ts'
import { groupsOf } from './diff-trees.ts'

test('an empty tree has the image that every implementation gives it', () => {
  const images = ([0, 1] as const).map((version) => composeImage(emptyDirectory(), { minVersion: version }))
  assert.deepEqual(
    images.map(({ version, digest }) => [version, digest]),
    [
      [0, '8f589e8f57ecb88823736b0d857ddca1e1068a23e264fad164b28f7038eb3682'],
      [1, '14a26c957c84f6eb774b91205476adc13196c7c33b9dd97d08d43725ecb90b63'],
    ],
  )
  for (const { bytes, digest } of images) assert.equal(verityDigest(bytes), digest)
})

test('an image gives back every file under its first name', () => {
  fc.assert(
    fc.property(randomTree(), (tree) => {
      settleLinks(tree, new Set(groupsOf(tree).keys()))
      const back = readErofs(composeImage(tree).bytes)
      assert.deepEqual(outline(back), outline(tree))
      assert.deepEqual([...groupsOf(back).values()].toSorted(), [...groupsOf(tree).values()].toSorted())
    }),
    { numRuns: 200 },
  )
})
