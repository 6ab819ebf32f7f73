import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { endsAsEstargz } from './footer.ts'

const header = '1f8b08040000000000ff'
const rest = '010000ffff0000000000000000'
const hex = (text: string): string => Buffer.from(text).toString('hex')

const cases: readonly [name: string, tail: string, yes: boolean][] = [
  ['eStargz', `${header}1a0053471600${hex('00000000000004d2STARGZ')}${rest}`, true],
  ['legacy stargz', `${header}1600${hex('00000000000004d2STARGZ')}${rest}`, true],
  ['a table of contents elsewhere', `${header}150053471100${hex('STARGZEXTERNALTOC')}${rest}`, true],
  ['the zstd dialect', `502a4d1828000000${'00'.repeat(32)}${hex('GnUlInUx')}`, true],
  ['the containers dialect of zstd:chunked', `502a4d1828000000${'00'.repeat(32)}${hex('GNUlInUx')}`, false],
  ['an empty gzip member', `1f8b08000000000000ff${rest}`, false],
  ['an offset that is no number', `${header}1a0053471600${hex('000000000000zzzzSTARGZ')}${rest}`, false],
  ['bytes after the footer', `${header}1a0053471600${hex('00000000000004d2STARGZ')}${rest}00`, false],
  ['nothing', '', false],
]

describe('endsAsEstargz', () => {
  for (const [name, tail, yes] of cases)
    test(name, () => {
      assert.equal(endsAsEstargz(Buffer.from(tail, 'hex')), yes)
      assert.equal(endsAsEstargz(Buffer.from(`${'ab'.repeat(100)}${tail}`, 'hex')), yes)
    })
})
