import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type OptionSpecs, levelOption, optionName, pickOptions } from './format-options.ts'

const specs = {
  chunkSize: { kind: 'size', min: 4096, help: '' },
  spanSize: { kind: 'size', min: 10, max: 20, help: '' },
  count: { kind: 'number', help: '' },
  flag: { kind: 'flag', help: '' },
  firstPaths: { kind: 'paths', help: '' },
} as const satisfies OptionSpecs

function pick(given: Readonly<Record<string, unknown>>): object {
  return pickOptions(specs, given, (found) => new Error(found))
}

describe('pickOptions()', () => {
  test('takes what was given of its options, and nothing else', () => {
    const right = { chunkSize: 4096, spanSize: 20, count: 0, flag: true, firstPaths: ['a'] }
    assert.deepEqual(pick({ ...right, other: 'x', signal: undefined }), right)
    assert.deepEqual(pick({ chunkSize: undefined, flag: false }), {})
  })

  const wrong: readonly (readonly [given: object, message: string])[] = [
    [{ chunkSize: 4095 }, '--chunk-size is 4095, expected a whole number of at least 4096'],
    [{ chunkSize: Number.NaN }, '--chunk-size is NaN, expected a whole number of at least 4096'],
    [{ spanSize: 21 }, '--span-size is 21, expected a whole number from 10 to 20'],
    [{ spanSize: '12' }, '--span-size is 12, expected a whole number from 10 to 20'],
    [{ count: -1 }, '--count is -1, expected a whole number of at least 0'],
    [{ count: 1.5 }, '--count is 1.5, expected a whole number of at least 0'],
    [{ flag: 'yes' }, '--flag is yes, expected true or false'],
    [{ firstPaths: ['a', 1] }, '--first-paths is a,1, expected a list of paths'],
  ]
  for (const [given, message] of wrong) test(message, () => assert.throws(() => pick({ ...given }), { message }))
})

test('options are named as on the command line', () => {
  assert.deepEqual(['zstd', 'minChunkSize', 'keepDiffId'].map(optionName), ['zstd', 'min-chunk-size', 'keep-diff-id'])
})

test('the range of levels is that of the coding', () => {
  const ranges = (['gzip', 'zstd'] as const).map((coding) => {
    const { min, max, default: usual } = levelOption(coding)
    return [min, max, usual]
  })
  assert.deepEqual(ranges, [
    [1, 9, 6],
    [1, 19, 3],
  ])
})
