import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verityDigest } from '../formats/fsverity/digest.ts'
import { composeImage } from './compose.ts'
import { emptyDirectory } from '../formats/tree.ts'

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
