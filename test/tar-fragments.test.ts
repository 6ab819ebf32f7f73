import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { anyTar } from './fixtures/table-layers.ts'
import { file, padded, pax, tar } from './fixtures/tar-bytes.ts'
import { type TarParts, takeApart } from './fixtures/tar-parts.ts'
import { type TarPiece, cutTar, joinTar } from './tar-fragments.ts'
import { readRecipe } from '../src/recipe/recipe.ts'

function join(parts: TarParts, order: (count: number) => number[]): Buffer {
  const cut = cutTar(readRecipe(parts.recipe))
  const bytes = (piece: TarPiece): Uint8Array =>
    piece instanceof Uint8Array
      ? piece
      : parts.objects.get(piece.object)!.subarray(piece.offset, piece.offset + piece.length)
  return Buffer.concat([...joinTar(cut, order(cut.fragments.length))].map(bytes))
}

test('in the same order it is the same tar, in another the entries are in another', () => {
  fc.assert(
    fc.property(anyTar, (whole) => {
      const parts = takeApart(whole)
      assert.ok(join(parts, (count) => [...Array(count).keys()]).equals(whole))
      const turned = takeApart(join(parts, (count) => [...Array(count).keys()].toReversed()))
      assert.deepEqual(turned.entries.toReversed(), parts.entries)
      assert.deepEqual(turned.contents.toReversed(), parts.contents)
    }),
    { numRuns: 30 },
  )
})

test('sparse files keep their maps', () => {
  const sparse = {
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 's',
    'GNU.sparse.realsize': '900',
  }
  const whole = tar(
    pax(sparse),
    file({}, Buffer.concat([padded('2\n8\n1\n800\n2\n'), Buffer.from('xyz')])),
    file({ name: 'a' }, 'a'),
  )
  const turned = takeApart(join(takeApart(whole), () => [1, 0]))
  assert.deepEqual(
    turned.entries.map(({ path }) => path),
    ['a', 's'],
  )
  assert.equal(turned.contents[1]!.length, 900)
})
