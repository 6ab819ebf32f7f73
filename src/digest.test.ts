import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  DigestCheck,
  algorithmOf,
  checkDigest,
  digestOf,
  hexOf,
  isDigest,
  parseDiffId,
  parseDigest,
  parseRecipeDigest,
  parseVerityDigest,
} from './digest.ts'

const hello = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'

describe('digests', () => {
  test('are made, taken apart and checked', () => {
    assert.equal(digestOf('hello'), hello)
    assert.equal(algorithmOf(digestOf('hello', 'sha512')), 'sha512')
    assert.equal(hexOf(parseDigest(hello)), hello.slice(7))
    checkDigest(Buffer.from('hello'), parseDigest(hello), 'greeting')
    const pieces = new DigestCheck(parseDiffId(hello))
    for (const letter of 'hello') pieces.update(Buffer.from(letter))
    pieces.finish('greeting')
  })

  test('of other bytes are a mismatch that names the thing and both digests', () => {
    assert.throws(() => checkDigest(Buffer.from('hullo'), parseDigest(hello), 'blob x'), {
      code: 'DIGEST_MISMATCH',
      message: `Cannot accept blob x: expected ${hello}, its bytes hash to ${digestOf('hullo')}`,
    })
  })

  const wrong = [
    '',
    'sha256:',
    hello.toUpperCase(),
    `${hello}0`,
    hello.slice(0, -1),
    `md5:${'0'.repeat(32)}`,
    `sha512:${'0'.repeat(64)}`,
  ]
  for (const text of [...wrong, '../../etc/passwd', `${hello}\n`, `x${hello}`])
    test(`${JSON.stringify(text.slice(0, 30))} (${text.length} chars) is none`, () => {
      assert.equal(isDigest(text), false)
      for (const parse of [parseDigest, parseDiffId, parseVerityDigest, parseRecipeDigest])
        assert.throws(() => parse(text), { code: 'BAD_NAME' })
    })

  test('of objects and recipes are 64 hex digits alone', () => {
    const hex = hello.slice(7)
    assert.deepEqual([parseVerityDigest(hex), parseRecipeDigest(hex)], [hex, hex])
    assert.throws(() => parseVerityDigest(hello), { code: 'BAD_NAME' })
  })
})
