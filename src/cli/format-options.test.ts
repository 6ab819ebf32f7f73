import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { scratch } from '../../test/fixtures/scratch.ts'
import type { OptionSpecs } from '../formats/format-options.ts'
import { chosenOptions, formatOptionSpecs } from './format-options.ts'

const size = { kind: 'size', default: 4 * 2 ** 20, help: 'cut so' } as const
const specs = {
  chunkSize: size,
  count: { kind: 'number', default: 7, help: 'so many' },
  keepIt: { kind: 'flag', help: 'keep it' },
  first: { kind: 'paths', help: 'these first' },
} as const satisfies OptionSpecs

describe('formatOptionSpecs()', () => {
  test('says which formats have an option, unless all of them have it', () => {
    const { keepIt, ...others } = specs
    assert.deepEqual(
      formatOptionSpecs([
        { name: 'one', options: specs },
        { name: 'two', options: others },
      ]),
      {
        'chunk-size': { value: 'SIZE', help: 'cut so (default 4M)' },
        count: { value: 'N', help: 'so many (default 7)' },
        'keep-it': { help: `one: ${keepIt.help}` },
        first: { value: 'FILE', help: 'these first' },
      },
    )
  })

  test('writes sizes as they can be given', () => {
    const help = [3, 3 * 1024, 3 * 2 ** 20].map((bytes) => {
      const [spec] = Object.values(formatOptionSpecs([{ name: 'x', options: { a: { ...size, default: bytes } } }]))
      return spec?.help
    })
    assert.deepEqual(help, ['cut so (default 3)', 'cut so (default 3K)', 'cut so (default 3M)'])
  })
})

describe('chosenOptions()', () => {
  const choose = (texts: Readonly<Record<string, string>>, flags: readonly string[] = []): object =>
    chosenOptions({ flag: (name) => flags.includes(name), text: (name) => texts[name], texts: () => [] }, specs)

  test('reads each kind of value', () => {
    using place = scratch('options')
    writeFileSync(place.at('list'), 'a\r\n\n\xfc\nb')
    assert.deepEqual(choose({ 'chunk-size': '64K', count: '3', first: place.at('list') }, ['keep-it']), {
      chunkSize: 65_536,
      count: 3,
      keepIt: true,
      first: ['a', '\xfc', 'b'],
    })
    assert.deepEqual(choose({}), {})
  })

  test('leaves it to the format to refuse a number, and says what cannot be read', () => {
    assert.deepEqual(choose({ count: 'x' }), { count: Number.NaN })
    assert.throws(() => choose({ 'chunk-size': 'x' }), { code: 'USAGE' })
    assert.throws(() => choose({ first: '/nonexistent/list' }), { code: 'NOT_FOUND' })
  })
})
