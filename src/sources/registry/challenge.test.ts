import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fuzzChallenges } from '../../../test/fuzz/challenge.ts'
import { parseChallenges } from './challenge.ts'

const cases: readonly [header: string, expected: readonly [scheme: string, parameters: Record<string, string>][]][] = [
  ['', []],
  ['Basic', [['basic', {}]]],
  ['Basic realm="a"', [['basic', { realm: 'a' }]]],
  ['BASIC Realm = "a"', [['basic', { realm: 'a' }]]],
  [
    'Bearer realm="https://h/token?a=b,c",service="s",scope="repository:a/b:pull,push"',
    [['bearer', { realm: 'https://h/token?a=b,c', service: 's', scope: 'repository:a/b:pull,push' }]],
  ],
  [
    'Basic realm="x, Bearer realm=y", Bearer realm=z , service=s',
    [
      ['basic', { realm: 'x, Bearer realm=y' }],
      ['bearer', { realm: 'z', service: 's' }],
    ],
  ],
  [
    'Negotiate, NTLM TlRMTVNTUAAC==, , Basic realm="a \\"b\\" \\\\"',
    [
      ['negotiate', {}],
      ['ntlm', {}],
      ['basic', { realm: 'a "b" \\' }],
    ],
  ],
  ['Bearer realm="a",realm="b"', [['bearer', { realm: 'a' }]]],
  ['realm="lost", Basic', [['basic', {}]]],
  ['Bearer realm="never closed', [['bearer', { realm: '' }]]],
  ['"quoted" Basic', []],
]

for (const [header, expected] of cases)
  test(`parseChallenges reads ${JSON.stringify(header)}`, () => {
    const found = parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)])
    assert.deepEqual(found, expected)
  })

test('parseChallenges reads back what is written with quotes', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,6}$/)
  const parameters = fc.uniqueArray(fc.tuple(name, fc.string()), { minLength: 1, selector: ([key]) => key })
  fc.assert(
    fc.property(fc.array(fc.tuple(name, parameters), { maxLength: 4 }), (challenges) => {
      const header = challenges
        .map(([scheme, pairs]) => {
          const written = pairs.map(([key, value]) => `${key}="${value.replace(/["\\]/g, '\\$&')}"`)
          return `${scheme} ${written.join(', ')}`
        })
        .join(', ')
      const read = parseChallenges(header).map((challenge) => [challenge.scheme, [...challenge.parameters]])
      assert.deepEqual(read, challenges)
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('fuzz: parseChallenges ends with a list whatever it is given', () => fuzzChallenges(1, 3000))
