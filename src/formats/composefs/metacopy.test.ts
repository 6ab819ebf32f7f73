import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseVerityDigest } from '../../digest.ts'
import type { VerityDigest } from '../../digest.ts'
import { metacopyBytes, metacopyDigestAt, readMetacopyValue, writeMetacopyValue } from './metacopy.ts'

const digest = parseVerityDigest('ab'.repeat(32))
const wide = 'cd'.repeat(64) as VerityDigest

test('a digest comes back from its value', () => {
  const value = Buffer.from(writeMetacopyValue(digest))
  assert.equal(value.toString('hex'), `00240001${digest}`)
  assert.equal(value.length, metacopyBytes)
  assert.equal(value.toString('hex', metacopyDigestAt), digest)
  assert.equal(readMetacopyValue(value), digest)
  assert.equal(Buffer.from(writeMetacopyValue(wide)).toString('hex'), `00440002${wide}`)
  assert.equal(readMetacopyValue(writeMetacopyValue(wide)), wide)
})

test('a value of another kind has none', () => {
  const value = Buffer.from(writeMetacopyValue(digest))
  const others = [
    value.subarray(0, 35),
    Buffer.concat([value, Buffer.of(0)]),
    Buffer.from(`00240002${digest}`, 'hex'),
    Buffer.from(`00440002${digest}`, 'hex'),
    Buffer.from(`01240001${digest}`, 'hex'),
    Buffer.alloc(36),
  ]
  for (const other of others) assert.equal(readMetacopyValue(other), undefined, other.toString('hex'))
})
