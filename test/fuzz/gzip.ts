import assert from 'node:assert/strict'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import { readGzipMembers } from '../../src/codecs/gzip-members.ts'
import { type Damage, damage, hurt } from './damage.ts'

const maxBytes = 1 << 16
const extra = Buffer.from([
  0x1f,
  0x8b,
  8,
  4 | 8 | 16,
  0,
  0,
  0,
  0,
  0,
  255,
  6,
  0,
  0x53,
  0x47,
  2,
  0,
  1,
  2,
  0x6e,
  0,
  0x63,
  0,
])

/** Damaged gzip files are read up to the damage and then refused; nothing else happens, and little memory is taken. */
export function fuzzGzip(seed: number, rounds: number): void {
  const data = fc.uint8Array({ maxLength: 200 })
  const members = fc.array(fc.tuple(data, fc.boolean()), { minLength: 1, maxLength: 3 }).map((parts) =>
    Buffer.concat(
      parts.map(([bytes, fancy]) => {
        const plain = gzipSync(bytes)
        return fancy ? Buffer.concat([extra, plain.subarray(10)]) : plain
      }),
    ),
  )
  fc.assert(fc.property(members, fc.array(damage, { maxLength: 3 }), check), { seed, numRuns: rounds })
}

function check(whole: Buffer, wounds: readonly Damage[]): void {
  const bytes = hurt(whole, wounds)
  let end = 0
  try {
    for (const member of readGzipMembers(bytes, maxBytes)) {
      assert.equal(member.offset, end)
      end += member.length
    }
    assert.ok(bytes.subarray(end).every((byte) => byte === 0))
  } catch (error) {
    if (!hasCode(error, 'BAD_FORMAT') && !hasCode(error, 'LIMIT')) throw error
  }
  assert.ok(end <= bytes.length)
}
