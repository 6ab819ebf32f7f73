import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Code } from '../error.ts'
import { Fields, type JsonLimits, isSize, jsonLimits, parseJson, readJson, readJsonList } from './json.ts'

const roomy: JsonLimits = { bytes: 2 ** 30, depth: 64, values: 1000 }

function read(text: string, limits: Partial<JsonLimits> = {}): unknown {
  return parseJson(Buffer.from(text), 'a document', { ...roomy, ...limits })
}

function refuses(action: () => unknown, code: Code, message: RegExp): void {
  assert.throws(action, { code, message })
}

/** Values of all kinds in what was parsed, as it takes memory. */
function valuesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  return Object.values(value).reduce<number>((sum, each) => sum + valuesIn(each), 1)
}

describe('parseJson()', () => {
  test('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        assert.deepEqual(read(text, { values: text.length }), JSON.parse(text))
      }),
    )
  })

  test('never builds more values than allowed, and refuses no document for fewer than it has', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(20), (value, values) => {
        const text = JSON.stringify(value)
        const count = valuesIn(JSON.parse(text))
        // An empty list has a bracket and no member.
        const brackets = text.replaceAll(/"(?:\\.|[^"\\])*"/g, '').match(/[[{]/g)?.length ?? 0
        if (count > values) refuses(() => read(text, { values }), 'LIMIT', /values/)
        else if (count + brackets <= values) read(text, { values })
      }),
    )
  })

  test('a bomb of empty objects is refused before it is parsed', () => {
    const bomb = Buffer.alloc(30_000_000, '{},')
    bomb.write('[')
    const before = process.memoryUsage().heapUsed
    refuses(
      () => parseJson(bomb, 'the table of a layer', { ...roomy, values: 100_000 }),
      'LIMIT',
      /^Cannot read the table of a layer: it has more than 100000 values$/,
    )
    assert.ok(process.memoryUsage().heapUsed - before < 100_000_000)
  })

  test('what is no JSON cannot hide values behind what is', () => {
    refuses(() => read(`[${'[],'.repeat(500)}"`, { values: 100 }), 'LIMIT', /values/)
    refuses(() => read(`["\\",${'[],'.repeat(10)}`, { values: 3 }), 'BAD_FORMAT', /not JSON/)
  })

  const cases: [name: string, text: string, limits: Partial<JsonLimits>, code: Code, message: RegExp][] = [
    ['one byte too many', '[1]', { bytes: 2 }, 'LIMIT', /has 3 bytes, at most 2/],
    ['one level too many', '[[1]]', { depth: 1 }, 'LIMIT', /nested deeper than 1/],
    ['one value too many in a list', '[1,2,3]', { values: 3 }, 'LIMIT', /more than 3 values/],
    ['one value too many in an object', '{"a":1,"b":2}', { values: 2 }, 'LIMIT', /more than 2 values/],
    ['what is no JSON', '{', {}, 'BAD_FORMAT', /a document: it is not JSON/],
    ['nothing', '', {}, 'BAD_FORMAT', /not JSON/],
  ]
  for (const [name, text, limits, code, message] of cases)
    test(name, () => refuses(() => read(text, limits), code, message))

  test('as much as allowed', () => {
    assert.deepEqual(read('[1,2,3]', { bytes: 7, depth: 1, values: 4 }), [1, 2, 3])
    assert.deepEqual(read('{"a":1,"b":2}', { depth: 1, values: 3 }), { a: 1, b: 2 })
  })

  test('commas and brackets in strings are neither values nor levels', () => {
    const text = JSON.stringify({ [',[{"'.repeat(50)]: '\\",[{'.repeat(50) })
    assert.deepEqual(read(text, { depth: 1, values: 2 }), JSON.parse(text))
  })

  test('bytes that are not UTF-8', () => {
    refuses(() => parseJson(Buffer.from('"\xff"', 'latin1'), 'a document', roomy), 'BAD_FORMAT', /not UTF-8/)
  })

  test('bytes in the middle of a buffer', () => {
    assert.deepEqual(parseJson(Buffer.from('xx[1]xx').subarray(2, 5), 'a document'), [1])
  })
})

describe('fields', () => {
  const fields = (value: unknown): Fields => readJson(Buffer.from(JSON.stringify(value)), 'a document')

  test('keys of every object are no members', () => {
    const empty = fields({})
    assert.equal(empty.has('constructor'), false)
    assert.equal(empty.string('toString'), undefined)
    assert.equal(fields({}).object('__proto__'), undefined)
  })

  test('__proto__ is a key like others', () => {
    const own = readJson(Buffer.from('{"__proto__":{"a":"b"},"m":{"__proto__":"x"}}'), 'a document')
    assert.equal(own.object('__proto__')?.text('a'), 'b')
    assert.equal(own.has('a'), false)
    assert.deepEqual(Object.entries(own.map('m') ?? {}), [['__proto__', 'x']])
  })

  test('a list may be longer where the caller says so', () => {
    const long = fields({ list: Array(10_001).fill(0) })
    refuses(() => long.list('list'), 'LIMIT', /list has 10001 members, at most 10000/)
    assert.equal(long.list('list', 10_001)?.length, 10_001)
  })

  test('a list of objects', () => {
    const list = readJsonList(Buffer.from('[{"a":1},{"a":"x"}]'), 'a document')
    assert.equal(list[0]?.size('a'), 1)
    refuses(() => list[1]?.size('a'), 'BAD_FORMAT', /list\[1\]\.a is "x", expected a whole number/)
    refuses(() => readJsonList(Buffer.from('{}'), 'a document'), 'BAD_FORMAT', /expected a list/)
  })

  test('sizes', () => {
    for (const value of [0, 1, 2 ** 53 - 1]) assert.equal(isSize(value), true)
    for (const value of [-0, -1, 0.5, 2 ** 53, NaN, Infinity, '1', null, undefined, 1n])
      assert.equal(isSize(value), false)
  })

  test('documents from outside are bounded unless told otherwise', () => {
    refuses(() => readJson(Buffer.alloc(jsonLimits.bytes + 1), 'a document'), 'LIMIT', /bytes/)
  })
})
