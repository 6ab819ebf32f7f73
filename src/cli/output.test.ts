import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { pathFromBytes, pathFromUtf8 } from '../paths.ts'
import { alignColumns, nameFrom, printableName, safeText } from './output.ts'

describe('names', () => {
  const shown: readonly [latin1: string, shown: string][] = [
    ['plain', 'plain'],
    [pathFromUtf8('café'), 'café'],
    ['caf\xe9', 'caf\\xe9'],
    ['a\nb', 'a\\x0ab'],
    ['\x1b[31m', '\\x1b[31m'],
    [pathFromUtf8('\u009b31m'), '\\xc2\\x9b31m'],
    [pathFromUtf8('\u202e'), '\\xe2\\x80\\xae'],
    ['\\x41', '\\x5cx41'],
    ['\\n', '\\n'],
  ]
  for (const [latin1, text] of shown)
    test(`${JSON.stringify(latin1)} is shown as ${text}, and found by it`, () => {
      assert.equal(printableName(latin1), text)
      assert.equal(nameFrom(text), latin1)
    })

  test('are told apart, whatever bytes they have', () => {
    const names = fc.uint8Array({ minLength: 1, maxLength: 12 }).map(pathFromBytes)
    fc.assert(fc.property(names, (name) => assert.equal(nameFrom(printableName(name)), name)))
  })
})

test('text of strangers steers no terminal', () => {
  assert.equal(safeText('a\x1b[2J\u009b1m\u202eb\nc é'), 'a\\x1b[2J\\xc2\\x9b1m\\xe2\\x80\\xaeb\\x0ac é')
})

test('columns of any number of rows are aligned', () => {
  const rows = alignColumns(Array.from({ length: 200_000 }, (_, i) => [`${i}`, 'x']))
  assert.deepEqual([rows[0], rows.at(-1)], ['0       x', '199999  x'])
})
