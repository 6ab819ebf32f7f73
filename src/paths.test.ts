import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { scratch } from '../test/fixtures/scratch.ts'
import { pathFromBytes, pathFromUtf8, pathToBytes, pathToUtf8 } from './paths.ts'

const names = fc.uint8Array({ maxLength: 40 })

describe('paths', () => {
  test('any bytes are a path and come back', () => {
    fc.assert(
      fc.property(names, (bytes) => {
        const path = pathFromBytes(bytes)
        assert.equal(path.length, bytes.length)
        assert.deepEqual(new Uint8Array(pathToBytes(path)), bytes)
      }),
    )
  })

  test('text comes back, and has the bytes of its UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
        const path = pathFromUtf8(text)
        assert.equal(pathToUtf8(path), text)
        assert.equal(path, pathFromBytes(new TextEncoder().encode(text)))
      }),
    )
  })

  test('paths compare as their bytes do', () => {
    fc.assert(
      fc.property(names, names, (a, b) => {
        const [one, other] = [pathFromBytes(a), pathFromBytes(b)]
        assert.equal(Number(one > other) - Number(one < other), Buffer.compare(a, b))
      }),
    )
  })

  test('bytes in the middle of a buffer', () => {
    assert.equal(pathFromBytes(Buffer.from('abcdef').subarray(2, 4)), 'cd')
  })

  test('bytes that are not UTF-8 show as U+FFFD', () => assert.equal(pathToUtf8('a\xff'), 'a\ufffd'))

  test('a file gets the name that was meant', () => {
    using folder = scratch('paths')
    writeFileSync(pathToBytes(`${pathFromUtf8(folder.path)}/\xff\x80`), '')
    writeFileSync(pathToBytes(`${pathFromUtf8(folder.path)}/${pathFromUtf8('é')}`), '')
    const found = readdirSync(folder.path, { encoding: 'buffer' }).map(pathFromBytes)
    assert.deepEqual(found.toSorted(), ['\xc3\xa9', '\xff\x80'])
  })
})
