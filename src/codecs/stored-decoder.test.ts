import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { decodeAll } from '../../test/fixtures/decoding.ts'
import { StoredDecoder } from './stored-decoder.ts'

for (const [input, output] of [
  [1 << 20, 1 << 20],
  [997, 1009],
  [1000, 10],
] as const)
  test(`bytes come out as they went in, ${input} bytes in, ${output} out`, () => {
    const body = randomBytes(100_000)
    assert.ok(decodeAll(new StoredDecoder(), body, { input, output }).equals(body))
  })
