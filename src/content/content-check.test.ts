import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { digestOf } from '../digest.ts'
import { hasCode } from '../error.ts'
import type { ContentDigests } from '../formats/content-digests.ts'
import { verityDigest } from '../formats/fsverity/verity-digest.ts'
import { ContentCheck } from './content-check.ts'
import { crc32c } from '../formats/crc32c.ts'

const bytes = Buffer.from('abc'.repeat(5000))

/** The vectors of BLAKE3's own repository: bytes count from 0 to 250 and again. */
const counted = Uint8Array.from({ length: 1025 }, (_, i) => i % 251)
const blake3OfCounted = 'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444'

const known: readonly (readonly [name: string, bytes: Uint8Array, ContentDigests])[] = [
  ['sha256', bytes, { sha256: digestOf(bytes) }],
  ['sha512/256', bytes, { sha512_256: createHash('sha512-256').update(bytes).digest('hex') }],
  ['BLAKE3', counted, { blake3: blake3OfCounted }],
  ['fs-verity', bytes, { verity: verityDigest(bytes) }],
  ['CRC-32C', bytes, { crc32c: crc32c(bytes) }],
  ['several', bytes, { sha256: digestOf(bytes), verity: verityDigest(bytes), crc32c: crc32c(bytes) }],
]

function check(digests: ContentDigests, pieces: readonly Uint8Array[], size?: number): void {
  const checking = ContentCheck.of(digests, 'a file', size)
  for (const piece of pieces) checking?.update(piece)
  checking?.finish()
}

for (const [name, content, digests] of known)
  test(`${name} accepts its bytes, in pieces of any size, and no others`, () => {
    check(digests, [content])
    check(digests, [content], content.length)
    check(digests, [content.subarray(0, 1), content.subarray(1, 700), content.subarray(700)])
    const other = Uint8Array.from(content)
    other[700]! ^= 1
    for (const size of [undefined, other.length])
      assert.throws(
        () => check(digests, [other], size),
        (error) => hasCode(error, 'DIGEST_MISMATCH') && error.message.startsWith('Cannot accept a file: expected'),
      )
  })

test('where nothing is known there is nothing to check', () => {
  assert.equal(ContentCheck.of({}, 'a file'), undefined)
})
