import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Crc64 } from './crc64.ts'

/** One bit at a time, as the polynomial says it. */
function slow(bytes: Uint8Array): bigint {
  let sum = 0xffffffffffffffffn
  for (const byte of bytes) {
    sum ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) sum = (sum & 1n) === 1n ? (sum >> 1n) ^ 0xd800000000000000n : sum >> 1n
  }
  return sum ^ 0xffffffffffffffffn
}

test('the check value of CRC-64/GO-ISO', () => {
  const crc = new Crc64()
  crc.update(Buffer.from('123456789'))
  assert.equal(crc.digest().toString('hex'), 'b90956c775a41001')
  assert.equal(new Crc64().digest().toString('hex'), '0000000000000000')
})

test('any bytes in any pieces', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (parts) => {
      const crc = new Crc64()
      for (const part of parts) crc.update(part)
      assert.equal(crc.digest().readBigUInt64BE(), slow(Buffer.concat(parts)))
    }),
  )
})
