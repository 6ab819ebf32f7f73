import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf, parseVerityDigest } from '../digest.ts'
import { canProve, identityOf, noDigests } from './content-digests.ts'

test('equal contents have one name, whatever else is known of them', () => {
  const sha256 = digestOf('x')
  const verity = parseVerityDigest('ab'.repeat(32))
  assert.equal(identityOf({ sha256 }), sha256)
  assert.equal(identityOf({ sha256, verity, crc32c: 1 }), sha256)
  assert.equal(identityOf({ verity }), `fsverity-sha256:${verity}`)
  assert.notEqual(identityOf({ blake3: verity }), identityOf({ sha512_256: verity }))
})

test('a CRC proves nothing', () => {
  assert.equal(identityOf({ crc32c: 7 }), undefined)
  assert.equal(canProve({ crc32c: 7 }), false)
  assert.equal(canProve(noDigests), false)
  assert.equal(canProve({ blake3: '00' }), true)
})
