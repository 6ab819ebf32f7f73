import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DumpBytes } from './dump-bytes.ts'
import { escape, optional } from './write-dump.ts'

function written(write: (out: DumpBytes) => void): string {
  let text = ''
  const out = new DumpBytes((bytes) => (text += Buffer.from(bytes).toString('latin1')))
  write(out)
  out.flush()
  return text
}

describe('fields of dump lines as bytes', () => {
  test('are escaped as strings are', () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    for (const equals of [false, true])
      assert.equal(
        written((out) => out.escaped(all, 0, 256, equals)),
        escape(all.toString('latin1'), equals),
      )
    for (const text of ['', '-', '--', 'a b'])
      assert.equal(
        written((out) => out.optional(Buffer.from(text), 0, text.length)),
        optional(text),
      )
  })

  test('numbers', () => {
    for (const value of [0, 7, 8, 9, 10, 99, 100, 1_700_000_000, 2 ** 31 - 1, 2 ** 31, 2 ** 53, -1, -(2 ** 40)])
      assert.equal(
        written((out) => out.decimal(value)),
        String(value),
      )
    for (const value of [0, 0o40755, 0o177777])
      assert.equal(
        written((out) => out.octal(value)),
        value.toString(8),
      )
    assert.equal(
      written((out) => out.hex(Buffer.from([0, 0xab, 0xff]), 1, 3)),
      'abff',
    )
  })

  test('of any length keep their order', () => {
    const long = Buffer.alloc(300_000, '\0')
    const text = written((out) => {
      out.text('begin ')
      out.escaped(long, 0, long.length)
      for (let i = 0; i < 200_000; i++) out.byte(0x61)
      out.bytes(Buffer.from(' end'))
    })
    assert.equal(text, `begin ${'\\x00'.repeat(300_000)}${'a'.repeat(200_000)} end`)
  })
})
