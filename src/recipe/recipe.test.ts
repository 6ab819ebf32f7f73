import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzzRecipe } from '../../test/fuzz/recipe.ts'
import { file, header, padded, pax, tar } from '../../test/fixtures/tar-bytes.ts'
import { checkRecipe, rebuild, takeApart } from '../../test/fixtures/tar-parts.ts'
import { parseDiffId, parseVerityDigest } from '../digest.ts'
import { hasCode } from '../error.ts'
import { RecipeWriter, readRecipe, recipeDigest, visitObjects } from './recipe.ts'

const digest = parseVerityDigest('ab'.repeat(32))
const diffId = parseDiffId(`sha256:${'cd'.repeat(32)}`)
const sparse = {
  'GNU.sparse.major': '1',
  'GNU.sparse.minor': '0',
  'GNU.sparse.name': 'sparse',
  'GNU.sparse.realsize': '9000',
}
const sample = tar(
  header({ name: 'd/', typeflag: '5' }),
  file({ name: 'd/small' }, 'small'),
  file({ name: 'd/large' }, 'l'.repeat(700)),
  file({ name: 'd/again' }, 'l'.repeat(700)),
  file({ name: 'd/empty' }, ''),
  pax(sparse),
  file({}, Buffer.concat([padded('2\n8\n1\n8000\n2\n'), Buffer.from('xyz')])),
  pax({ ...sparse, 'GNU.sparse.name': 'tiny', 'GNU.sparse.realsize': '60' }),
  file({}, Buffer.concat([padded('1\n8\n1\n'), Buffer.from('t')])),
)

test('the bytes of version 1', () => {
  const writer = new RecipeWriter()
  writer.framing(Buffer.from('head'))
  writer.file({ kind: 'inline', bytes: Buffer.from('hi') }, undefined)
  writer.framing(Buffer.concat([Buffer.alloc(20), Buffer.from('x'), Buffer.alloc(3)]))
  writer.file({ kind: 'object', digest, size: 300 }, undefined)
  writer.file({ kind: 'object', digest, size: 300 }, [
    [5, 10],
    [100, 200],
  ])
  writer.file({ kind: 'inline', bytes: Buffer.from('sp') }, [[1, 1]])
  writer.file({ kind: 'empty' }, undefined)
  const recipe = writer.finish({ diffId, tarSize: 4 + 2 + 24 + 300 + 210 + 1 })
  const expected = Buffer.concat([
    Buffer.from('1fRECIPE\x01'),
    Buffer.from('\x20head\x12hi\xa1\x01\x20x\0\0\0', 'latin1'),
    Buffer.from('\xe3\x12', 'latin1'),
    Buffer.from(digest, 'hex'),
    Buffer.from('\xe5\x12', 'latin1'),
    Buffer.from(digest, 'hex'),
    Buffer.from('\x02\x05\x0a\x55\xc8\x01', 'latin1'),
    Buffer.from('\x14sp\x01\x01\x01', 'latin1'),
    Buffer.from('\xee\x21\x47', 'latin1'),
    Buffer.from(diffId),
  ])
  assert.deepEqual(Buffer.from(recipe), expected)
  assert.equal(recipeDigest(recipe), '78d2d69194460f998073abeaff8970da636fb548cf365563114cfffb999023b4')

  const read = readRecipe(recipe)
  assert.deepEqual([read.diffId, read.tarSize], [diffId, 541])
  assert.deepEqual(
    [...read.objects()],
    [
      { digest, size: 300 },
      { digest, size: 300 },
    ],
  )
  assert.deepEqual(
    [...read.rebuild()],
    [
      Buffer.concat([Buffer.from('headhi'), Buffer.alloc(20), Buffer.from('x\0\0\0')]),
      { object: digest, offset: 0, length: 300 },
      { object: digest, offset: 5, length: 10 },
      { object: digest, offset: 100, length: 200 },
      Buffer.from('p'),
    ],
  )
})

test('a tar with everything comes back, its entries as well', () => {
  const parts = takeApart(sample)
  checkRecipe(sample, parts)
  assert.deepEqual(
    [...readRecipe(parts.recipe).objects()].map(({ size }) => size),
    [700, 700, 9000],
  )
  const visited: string[] = []
  visitObjects(parts.recipe, (bytes, at) => visited.push(Buffer.from(bytes).toString('hex', at, at + 32)))
  assert.deepEqual(
    visited,
    [...readRecipe(parts.recipe).objects()].map((object) => object.digest),
  )
})

test('the same tar in other pieces gives the same recipe', () => {
  const { recipe } = takeApart(sample)
  for (const step of [1, 2, 3, 511, 512, 513, 4096]) assert.deepEqual(takeApart(sample, step).recipe, recipe)
})

test('framing of any kind comes back: long, unaligned, full of zeros or without any', () => {
  const run = fc.record({ zeros: fc.nat(200_000), bytes: fc.uint8Array({ maxLength: 40 }) })
  fc.assert(
    fc.property(fc.array(run, { maxLength: 6 }), fc.integer({ min: 1, max: 100_000 }), (runs, step) => {
      const framing = Buffer.concat(runs.flatMap(({ zeros, bytes }) => [Buffer.alloc(zeros), bytes]))
      const write = (size: number): Uint8Array => {
        const writer = new RecipeWriter()
        for (let at = 0; at < framing.length; at += size) writer.framing(framing.subarray(at, at + size))
        return writer.finish({ diffId, tarSize: framing.length })
      }
      const recipe = write(framing.length)
      assert.ok(Buffer.from(recipe).equals(write(step)))
      assert.ok(rebuild({ recipe, objects: new Map() }).equals(framing))
    }),
    { numRuns: 60 },
  )
})

test('more entries than fit into one portion', () => {
  const many = tar(
    ...Array.from({ length: 3000 }, (_, i) => file({ name: `f${i}` }, i % 3 === 0 ? 'x'.repeat(i % 700) : 'inline')),
  )
  checkRecipe(many, takeApart(many, 100_000))
})

test('a portion that ends where a body begins', () => {
  const many = tar(...Array.from({ length: 1100 }, (_, i) => file({ name: `f${i}` }, 'x'.repeat(512))))
  checkRecipe(many, takeApart(many))
})

test('content that is not known cannot be stored', () => {
  assert.throws(
    () => new RecipeWriter().file({ kind: 'unknown', size: 1 }, undefined),
    (error) => hasCode(error, 'USAGE'),
  )
})

describe('a damaged recipe', () => {
  const { recipe } = takeApart(sample)
  /** What a reader does with all of it: a value, or CORRUPT; never anything else. */
  function readAll(bytes: Uint8Array): boolean {
    try {
      const read = readRecipe(bytes)
      let sum = 0
      for (const piece of read.rebuild()) sum += piece.length
      assert.equal(sum, read.tarSize)
      void [...read.objects()]
      void [...read.entries()]
      return true
    } catch (error) {
      assert.ok(hasCode(error, 'CORRUPT') || hasCode(error, 'UNSUPPORTED'), String(error))
      return false
    }
  }

  test('is refused when cut at any byte', () => {
    for (let length = 0; length < recipe.length; length++) assert.equal(readAll(recipe.subarray(0, length)), false)
    assert.equal(readAll(recipe), true)
  })

  test('is refused with a byte more', () => assert.equal(readAll(Buffer.concat([recipe, Buffer.alloc(1)])), false))

  test('with any bit flipped gives something or is refused', () => {
    for (let bit = 0; bit < recipe.length * 8; bit++) {
      const damaged = Buffer.from(recipe)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      readAll(damaged)
    }
  })

  test('of a later version is not guessed at', () => {
    const later = Buffer.from(recipe)
    later[8] = 2
    assert.throws(
      () => readRecipe(later),
      (error) => hasCode(error, 'UNSUPPORTED') && error.message.includes('version 2'),
    )
  })

  const make = (fill: (writer: RecipeWriter) => void, tarSize: number): Uint8Array => {
    const writer = new RecipeWriter()
    fill(writer)
    return writer.finish({ diffId, tarSize })
  }
  const object = { kind: 'object', digest, size: 5 } as const
  for (const [what, bytes, found] of [
    [
      'whose sizes do not add up',
      make((w) => w.framing(Buffer.alloc(1024)), 1023),
      /gives a tar of 1024 bytes and says 1023/,
    ],
    [
      'with a file of another size',
      make((w) => {
        w.framing(header({ size: 6 }))
        w.file(object, undefined)
        w.framing(Buffer.alloc(507))
      }, 1024),
      /is not where its header is/,
    ],
    [
      'with a file in another place',
      make((w) => {
        w.file(object, undefined)
        w.framing(header({ size: 5 }))
        w.framing(Buffer.alloc(507))
      }, 1024),
      /is not where its header is/,
    ],
    ['with a file too few', make((w) => w.framing(header({ size: 5 })), 512), /is not where its header is/],
    [
      'with a file too many',
      make((w) => {
        w.framing(Buffer.concat([header({ size: 5 })]))
        w.file(object, undefined)
        w.framing(Buffer.alloc(507))
        w.file(object, undefined)
      }, 1029),
      /without an entry/,
    ],
    [
      'with a file after the end',
      make((w) => {
        w.framing(Buffer.alloc(2048))
        w.file(object, undefined)
      }, 2053),
      /without an entry/,
    ],
    [
      'whose file is sparse and whose header is not',
      make((w) => {
        w.framing(header({ size: 5 }))
        w.file(object, [[0, 5]])
        w.framing(Buffer.alloc(507))
      }, 1024),
      /is not where its header is/,
    ],
    ['whose framing is no tar', make((w) => w.framing(Buffer.alloc(512, 'x')), 512), /framing is no tar/],
    ['whose framing is cut short', make((w) => w.framing(header({}).subarray(0, 100)), 100), /cut short/],
  ] as const)
    test(`${what} is refused`, () => {
      assert.throws(
        () => void [...readRecipe(bytes).entries()],
        (error) => hasCode(error, 'CORRUPT') && found.test(error.message),
      )
    })
})

test('random damage', () => fuzzRecipe(1, 3000))
