import assert from 'node:assert/strict'
import fc from 'fast-check'
import { hasCode } from '../../src/error.ts'
import { readRecipe } from '../../src/recipe/recipe.ts'
import { file, header, padded, pax, tar } from '../fixtures/tar-bytes.ts'
import { takeApart } from '../fixtures/tar-parts.ts'
import { type Damage, damage, hurt } from './damage.ts'

const sparse = {
  'GNU.sparse.major': '1',
  'GNU.sparse.minor': '0',
  'GNU.sparse.name': 's',
  'GNU.sparse.realsize': '900',
}
const { recipe } = takeApart(
  tar(
    header({ name: 'd/', typeflag: '5' }),
    file({ name: 'small' }, 'small'),
    file({ name: 'large' }, 'l'.repeat(700)),
    pax(sparse),
    file({}, Buffer.concat([padded('2\n8\n1\n800\n2\n'), Buffer.from('xyz')])),
  ),
)

/** A recipe damaged in the store is refused as CORRUPT, or says something consistent with itself. */
export function fuzzRecipe(seed: number, rounds: number): void {
  fc.assert(fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), check), { seed, numRuns: rounds })
}

function check(wounds: readonly Damage[]): void {
  try {
    const read = readRecipe(hurt(Buffer.from(recipe), wounds))
    for (const { size } of read.objects()) assert.ok(size >= 0)
    for (const { content } of read.entries()) assert.notEqual(content.kind, 'unknown')
    // A run of zeros may be as long as it says: only what is small is worth the time to write out.
    if (read.tarSize > 1 << 24) return
    let sum = 0
    for (const piece of read.rebuild()) sum += piece.length
    assert.equal(sum, read.tarSize)
  } catch (error) {
    if (!hasCode(error, 'CORRUPT') && !hasCode(error, 'UNSUPPORTED')) throw error
  }
}
