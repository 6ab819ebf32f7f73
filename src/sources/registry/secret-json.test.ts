import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OnefoldError } from '../../error.ts'
import { jsonLimits } from '../../formats/json.ts'
import { parseSecret } from './secret-json.ts'

function read(text: string): unknown {
  return parseSecret(Buffer.from(text), 'the answer', (found) => new OnefoldError('DENIED', `Cannot log in: ${found}`))
}

test('an object comes out as it is', () => assert.deepEqual(read('{"token":"sesame"}'), { token: 'sesame' }))

for (const [name, text, found] of [
  ['what is no JSON', '{"token":"sesame"', 'the answer is no JSON'],
  ['what is no object', '"sesame"', 'the answer is no JSON object'],
  ['too many values', `["sesame"${',{}'.repeat(jsonLimits.values)}]`, 'the answer is too large'],
] as const)
  test(`${name} is not quoted`, () => {
    assert.throws(
      () => read(text),
      (error) => {
        assert.ok(error instanceof OnefoldError)
        assert.equal(error.message, `Cannot log in: ${found}`)
        assert.equal(error.cause, undefined)
        return true
      },
    )
  })
